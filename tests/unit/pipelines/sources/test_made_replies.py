"""What no recording shows, made by hand from the venues' documentation: tests/recordings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.feed import Feed, NotThisStream, Page, Parsed, Refused, Retry, Stream, TooLong
from pipelines.plugins.discovery import load_feed, load_source, settings_of_source

MADE = Path(__file__).parents[3] / "recordings"
SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 26, 12, tzinfo=UTC)


def feed(name: str, **values: Any) -> Feed:
    return load_feed(name)(settings_of_source(load_source(name))(**values))


def reply(name: str) -> tuple[int, bytes]:
    found = json.loads((MADE / name).read_text())
    assert found["_made_from"]
    return found["status"], json.dumps(found["response"]).encode()


def page(adapter: Feed, stream: Stream, name: str, cursor: str = "") -> Page:
    request = adapter.next_request(stream, cursor)
    assert request is not None
    status, body = reply(name)
    return adapter.page(stream, request, status, {}, body)


def rows(adapter: Feed, stream: Stream, name: str) -> Parsed:
    return adapter.parse(stream, reply(name)[1])


def prices(adapter: Feed, key: str, kind: Any) -> Stream:
    return Stream(key, kind, timedelta(hours=1), SINCE, UNTIL)


def test_keyset_pages_are_walked_to_the_end() -> None:
    adapter, listed = feed("polymarket", query="win"), Stream("list", "markets")
    first = page(adapter, listed, "polymarket/keyset_page.json")
    assert not first.is_last
    request = adapter.next_request(listed, first.cursor)
    assert request is not None
    assert dict(request.params)["after_cursor"] == "eyJpZCI6Mn0="
    assert page(adapter, listed, "polymarket/keyset_last_page.json", first.cursor).is_last
    found = rows(adapter, listed, "polymarket/keyset_page.json").frame
    assert set(found.get_column("event_id")) == {"77"}  # outcomes of one event, one of which may be hidden
    (other,) = rows(adapter, listed, "polymarket/keyset_last_page.json").frame.get_column("handle")
    assert other == "332"  # the token of Yes, which does not come first


def test_too_long_a_span_is_one_that_can_be_halved() -> None:
    adapter = feed("polymarket")
    stream = prices(adapter, "0xaa/11/10", "quotes")
    with pytest.raises(TooLong):
        page(adapter, stream, "polymarket/interval_too_long_400.json")
    with pytest.raises(Retry, match="yet"):
        page(adapter, stream, "polymarket/not_hydrated_404.json")
    with pytest.raises(Refused, match="403"):  # seen before by the collector, which ends the pass
        page(adapter, stream, "polymarket/geoblocked_403.json")


def test_candles_of_markets_settled_long_ago_are_asked_for_where_they_are() -> None:
    adapter = feed("kalshi")
    stream = prices(adapter, "KXOLD/KXOLD-24-A/60", "bars")
    with pytest.raises(NotThisStream) as caught:
        page(adapter, stream, "kalshi/not_live_404.json")
    assert caught.value.instead is not None
    request = adapter.next_request(stream, caught.value.instead)
    assert request is not None
    assert request.url.endswith("/historical/markets/KXOLD-24-A/candlesticks")
    found = rows(adapter, stream, "kalshi/historical_candles.json")
    assert found.frame.select("open", "close", "volume", "bid_close", "ask_close").rows() == [
        (0.56, 0.57, 15.0, 0.56, 0.58),
        (0.57, 0.57, 0.0, 0.56, 0.58),  # the middle of its quotes
    ]
    assert found.passed_over == {"no trade and no quote": 1}
    assert found.quarantined.is_empty()


def test_what_a_market_pays_when_it_has_ended() -> None:
    found = rows(feed("kalshi"), Stream("list", "markets"), "kalshi/settled_markets.json").frame
    at = datetime(2026, 11, 2, 12, tzinfo=UTC)
    assert found.select("status", "resolution", "resolved_at").rows() == [
        ("resolved", 1.0, at),
        ("resolved", 0.0, at),
        ("resolved", 0.25, at),
        ("closed", None, None),  # void
        ("closed", None, None),  # determined, and not final
    ]


def test_bars_around_a_weekend_without_the_one_that_is_running() -> None:
    adapter = feed("oanda", granularity="H1", instruments=("EUR_USD", "XAU_USD"))
    listed = rows(adapter, Stream("list", "markets"), "oanda/instruments.json").frame
    assert listed.select("external_id", "kind", "tick_size").rows() == [
        ("EUR_USD", "fx", 1e-05),
        ("XAU_USD", "spot", 0.001),
    ]
    found = rows(adapter, prices(adapter, "EUR_USD/H1", "bars"), "oanda/candles_weekend.json")
    assert found.frame.height == 3
    assert found.passed_over == {"the bar is still running": 1}
    gaps = found.frame.get_column("start").diff().drop_nulls().to_list()
    assert gaps == [timedelta(hours=1), timedelta(hours=49)]
    with pytest.raises(Retry, match="clock"):
        page(adapter, prices(adapter, "EUR_USD/H1", "bars"), "oanda/to_in_the_future_400.json")


def test_every_made_reply_is_listed_as_such() -> None:
    listed = (MADE / "README.md").read_text()
    names = [str(path.relative_to(MADE)) for path in MADE.rglob("*.json")]
    assert names
    assert all(f"| {name} |" in listed for name in names)
