"""What an inbox holds, as a source: however its pages were cut, in whatever order, once or twice."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.component import perform
from pipelines.components.markets import Settings as MarketSettings
from pipelines.components.markets import ingest_markets
from pipelines.components.ticks import Settings as TickSettings
from pipelines.components.ticks import ingest_ticks
from pipelines.errors import BadInput
from pipelines.inbox.collected import CollectedSource, collected, timely
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.source import QUARANTINE_KEY
from pipelines.sources import kalshi
from tests.examples import examples
from tests.pages import ASKED, fill, kalshi_market, kalshi_markets, kalshi_trade, kalshi_trades

STREAM = "KXRAIN/KXRAIN-26-NYC"
LIST = ("markets", "list", kalshi_markets())
ROWS = [kalshi_trade(number) for number in range(30)]


def source(folder: Path, as_known_at: datetime | None = None, **values: Any) -> CollectedSource:
    made = collected(kalshi.FEED)
    return made(kalshi.Settings(**{"history": "trades", **values}), folder, as_known_at=as_known_at)


def ticks(folder: Path, **values: Any) -> Snapshot:
    lake, sources = Lake(folder / "lake"), {"kalshi": source(folder, **values)}
    markets = perform(ingest_markets, MarketSettings(), {}, lake=lake, attempt="a", sources=sources, base=folder)
    return perform(
        ingest_ticks, TickSettings(), {"markets": markets}, lake=lake, attempt="a", sources=sources, base=folder
    )


def trades(rows: list[dict[str, Any]]) -> tuple[str, str, bytes]:
    return "trades", STREAM, kalshi_trades(rows)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    fill(folder, "kalshi", [LIST, trades(ROWS)])
    return ticks(folder).version


@settings(max_examples=examples(8))
@given(st.lists(st.integers(1, len(ROWS) - 1), max_size=5, unique=True), st.randoms(use_true_random=False))
def test_any_cut_of_the_pages_in_any_order_and_twice_gives_the_same_ticks(
    undisturbed: str, cuts: list[int], random: Any
) -> None:
    edges = [0, *sorted(cuts), len(ROWS)]
    pages = [trades(ROWS[low:high]) for low, high in pairwise(edges)]
    pages += random.sample(pages, random.randint(0, len(pages)))
    random.shuffle(pages)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), "kalshi", [LIST, *pages])
        assert ticks(Path(folder)).version == undisturbed


def test_asking_twice_gives_the_same_and_loads_nothing_of_the_network(tmp_path: Path) -> None:
    fill(tmp_path, "kalshi", [LIST, trades(ROWS)])
    one = source(tmp_path)
    for part in one.probe().parts:
        assert one.fetch(part).frame.equals(one.fetch(part).frame)


def test_what_is_wrong_with_a_row_stops_nobody_and_is_listed(tmp_path: Path) -> None:
    """Rows that the adapter cannot read, rows that break a rule of ticks, and rows from the future."""
    odd = [
        kalshi_trade(1, yes_price_dollars=None, no_price_dollars=None),
        kalshi_trade(2, yes_price_dollars="1.5000"),
        kalshi_trade(3, created_time="2026-11-26T13:00:00Z"),
    ]
    fill(tmp_path, "kalshi", [LIST, trades([*ROWS[5:], *odd])])
    found = ticks(tmp_path)
    listed = Lake(tmp_path / "lake").read_table(found.by_key[QUARANTINE_KEY])
    assert sorted(listed.get_column("rule")) == [
        "it is later than when it was asked for",
        "price of a binary market is above 1",
        "yes_price is missing",
    ]
    assert sum(one.rows or 0 for one in found.select("trades/")) == 25


def test_bars_that_are_still_running_are_left_out_by_the_venues_clock() -> None:
    frame = kalshi.KalshiFeed(kalshi.Settings()).parse(
        kalshi.Stream("KXRAIN/A/60", "bars"), json.dumps({"candlesticks": [_candle(0), _candle(1)]}).encode()
    )
    end = datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert timely(frame, end + timedelta(minutes=61), None).frame.height == 2
    late = timely(frame, end + timedelta(minutes=61), end + timedelta(minutes=59))
    assert late.frame.get_column("end").to_list() == [end]
    assert late.passed_over == {"the bar is still running": 1}


def _candle(number: int) -> dict[str, Any]:
    quote = {f"{name}_dollars": "0.4000" for name in ("open", "high", "low", "close")}
    end = datetime(2026, 11, 26, 10, tzinfo=UTC) + timedelta(hours=number)
    return {
        "end_period_ts": int(end.timestamp()),
        "price": {"previous_dollars": "0.7000"},
        "volume_fp": "0.00",
        "yes_bid": quote,
        "yes_ask": dict.fromkeys(quote, "0.5000"),
    }


def test_a_market_has_the_newest_of_all_that_was_said_of_it(tmp_path: Path) -> None:
    gone, lasting = kalshi_market("KXA-1-X"), kalshi_market("KXA-1-Y")
    fill(tmp_path, "kalshi", [("markets", "list", kalshi_markets(gone, lasting))])
    assert source(tmp_path).markets().get_column("status").to_list() == ["open", "open"]
    later = ASKED + timedelta(hours=1)
    fill(tmp_path, "kalshi", [("markets", "list", kalshi_markets({**lasting, "volume_fp": "7.00"}))], at=later)
    assert source(tmp_path).markets().select("external_id", "status", "volume").rows() == [
        ("KXA-1-X", "unlisted", 100.0),
        ("KXA-1-Y", "open", 7.0),
    ]
    settled = {**gone, "status": "finalized", "result": "yes", "settlement_ts": "2026-11-26T13:30:00Z"}
    fill(tmp_path, "kalshi", [("markets", "by name", kalshi_markets(settled))], at=later + timedelta(seconds=1))
    known = source(tmp_path).markets().select("status", "resolution", "resolved_at").row(0)
    assert known == ("resolved", 1.0, datetime(2026, 11, 26, 13, 30, tzinfo=UTC))


def test_as_known_at_is_what_a_run_of_that_instant_read(tmp_path: Path) -> None:
    """Pages that came later, also corrections and results, change nothing of it: byte for byte."""
    fill(tmp_path, "kalshi", [LIST, trades(ROWS[:20])])
    then, markets_then = ticks(tmp_path).version, source(tmp_path).markets()
    settled = kalshi_market(status="finalized", result="yes", settlement_ts="2026-11-27T13:30:00Z")
    pages = [("markets", "list", kalshi_markets(settled)), trades([kalshi_trade(3, count_fp="99.00"), *ROWS[20:]])]
    fill(tmp_path, "kalshi", pages, at=ASKED + timedelta(days=1))
    assert ticks(tmp_path).version != then
    known = source(tmp_path, as_known_at=ASKED + timedelta(hours=1))
    assert known.markets().equals(markets_then)
    frames = [known.fetch(part).frame for part in known.probe().parts if part.startswith("trades")]
    assert pl.concat(frames).height == 20


def test_what_was_known_of_a_market_has_its_times(tmp_path: Path) -> None:
    fill(tmp_path, "kalshi", [LIST, LIST])
    later = ASKED + timedelta(hours=1)
    fill(tmp_path, "kalshi", [("markets", "list", kalshi_markets(kalshi_market(status="closed")))], at=later)
    history = source(tmp_path).market_history()
    opened = datetime(2026, 11, 1, tzinfo=UTC)
    assert history.select("known_at", "status").rows() == [(opened, "open"), (later, "closed")]


def test_bars_of_another_length_are_not_those_of_now(tmp_path: Path) -> None:
    """A changed setting reads the pages that are there with other eyes, and never scrambles them."""
    body = json.dumps({"candlesticks": [_candle(0)]}).encode()
    fill(tmp_path, "kalshi", [LIST, ("bars", f"{STREAM}/60", body)])
    (part,) = (name for name in source(tmp_path).probe().parts if name.startswith("bars"))
    rows = {
        minutes: source(tmp_path, history="bars", interval_minutes=minutes).fetch(part).frame.height
        for minutes in (1, 60)
    }
    assert rows == {1: 0, 60: 1}
    assert source(tmp_path, history="trades").fetch(part).frame.is_empty()


def test_a_token_shows_what_reads_the_page(tmp_path: Path) -> None:
    fill(tmp_path, "kalshi", [LIST])
    bars, minutes = (source(tmp_path, **values).probe().parts for values in ({}, {"interval_minutes": 1}))
    assert bars.keys() == minutes.keys()
    assert set(bars.values()).isdisjoint(minutes.values())
    assert bars == source(tmp_path, history_days=7.0, url="http://127.0.0.1").probe().parts


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no part") as caught:
        source(tmp_path).fetch("trades/2026-11-26.0001.log#00")
    assert caught.value.fix
