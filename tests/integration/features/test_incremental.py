"""Incremental = full: whatever happened to the input, in whatever batches, features equal a run from scratch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.components.features import Settings
from pipelines.snapshot import Partition, Snapshot
from tests.examples import examples
from tests.paths import needs_shared_data
from tests.ticks import Bench, crypto_5m, source_bars, trades, universe, walk

START = datetime(2018, 1, 11, tzinfo=UTC)
DAYS = 5
MARKETS: dict[str, dict[str, Any]] = {
    "files:ADA_BTC": {"interval_seconds": 300},
    "files:ETH_BTC": {"interval_seconds": 300},
    "made:hours": {"interval_seconds": 3600, "kind": "binary", "end_at": START + timedelta(days=9)},
    "made:days": {"interval_seconds": 86_400},
    "made:rare": {},
}
GRAINS = {"made:hours": "month", "made:days": "year"}


@cache
def all_bars() -> pl.DataFrame:
    """Two real pairs of five-minute bars; hours across a month's end and days across a year's, made up."""
    hours = walk("made:hours", bars=24 * 60, seconds=3600, start=START - timedelta(days=30), seed=1).with_columns(
        pl.col("open", "high", "low", "close") / 1000
    )
    days = walk("made:days", bars=400, seconds=86_400, start=START - timedelta(days=300), seed=2, volume=False)
    real = crypto_5m(["ADA_BTC", "ETH_BTC"], DAYS)
    frame = pl.concat([real, source_bars(hours, 3600), source_bars(days, 86_400)])
    return frame.sort("market_id", "start").with_row_index("row")


@cache
def all_trades() -> pl.DataFrame:
    """Rare trades, made up; numbered on from the bars."""
    rare = trades(("made:rare", START + timedelta(minutes=47 * n, seconds=n), 3.0 + n % 7) for n in range(150))
    return rare.with_row_index("row", all_bars().height)


@dataclass(frozen=True)
class World:
    """What the input is: which bars and trades there are, with which prices, and what is said of the markets."""

    removed: frozenset[int] = frozenset()
    repriced: tuple[tuple[int, float], ...] = ()
    until: datetime = START + timedelta(days=DAYS)
    markets: tuple[tuple[str, str, Any], ...] = ()

    def bars(self) -> pl.DataFrame:
        return self._edited(all_bars().filter(pl.col("end") <= self.until), ("open", "high", "low", "close"))

    def trades(self) -> pl.DataFrame:
        return self._edited(all_trades().filter(pl.col("ts") < self.until), ("price",))

    def _edited(self, frame: pl.DataFrame, prices: tuple[str, ...]) -> pl.DataFrame:
        factor = pl.col("row").replace_strict(dict(self.repriced), default=1.0, return_dtype=pl.Float64)
        kept = frame.filter(~pl.col("row").is_in(list(self.removed)))
        return kept.with_columns(pl.col(*prices) * factor).drop("row")

    def universe(self) -> pl.DataFrame:
        facts = {name: dict(values) for name, values in MARKETS.items()}
        for market, name, value in self.markets:
            facts[market][name] = value
        return universe(**facts)


ROWS = st.integers(0, 4_800)
EDITS = st.one_of(
    st.tuples(st.just("until"), st.integers(1, DAYS * 24 * 12)),  # appends, or takes back what is newest
    st.tuples(st.just("remove"), ROWS, st.sampled_from([1, 4, 300, 1200])),
    st.tuples(st.just("restore"), st.just(None)),  # late ticks: all that were missing come
    st.tuples(st.just("reprice"), ROWS, st.sampled_from([1.01, 0.97])),
    st.tuples(st.just("end_at"), st.integers(5, 15)),
    st.tuples(st.just("kind"), st.sampled_from(["made:rare", "files:ADA_BTC"]), st.sampled_from(["fx", "spot"])),
    st.tuples(st.just("redo"), st.sampled_from(["bars/", "features/"]), st.integers(0, 30)),
)


def edited(world: World, edit: tuple[Any, ...]) -> World:
    match edit:
        case ("until", steps):
            return replace(world, until=START + timedelta(minutes=5 * steps))
        case ("remove", first, count):
            return replace(world, removed=world.removed | set(range(first, first + count)))
        case ("restore", _):
            return replace(world, removed=frozenset())
        case ("reprice", row, factor):
            return replace(world, repriced=(*world.repriced, (row, factor)))
        case ("end_at", days):
            return replace(world, markets=(*world.markets, ("made:hours", "end_at", START + timedelta(days=days))))
        case ("kind", market, kind):
            return replace(world, markets=(*world.markets, (market, "kind", kind)))
    return world


@needs_shared_data
@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=4),
    reach=st.sampled_from([1.0, 5.0]),
    interval=st.sampled_from(["auto", 86_400]),
)
def test_any_history_gives_what_a_run_from_scratch_gives(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[Any, ...]]], reach: float, interval: Any
) -> None:
    bench = Bench(tmp_path_factory.mktemp("lake"))
    chosen = Settings(interval=interval, max_reach=reach)
    world = World()
    before = inputs_of(bench, world)
    output = bench.features(before, chosen)
    for batch in batches:
        redo = []
        for edit in batch:
            world = edited(world, edit)
            if edit[0] == "redo":
                keys = [p.key for p in output.select(edit[1])]
                redo.append(keys[edit[2] % len(keys)])
        now = inputs_of(bench, world)
        output = bench.features(now, chosen, output, before, redo)
        before = now
    scratch = bench.features(before, chosen)
    assert {p.key: p.content_hash for p in output.partitions} == {p.key: p.content_hash for p in scratch.partitions}
    assert output.version == scratch.version


def inputs_of(bench: Bench, world: World) -> dict[str, Snapshot]:
    ticks = bench.ticks(world.bars(), world.trades(), grains=GRAINS)
    return {"ticks": ticks, "markets": bench.markets(world.universe())}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rewritten(old: Snapshot, new: Snapshot) -> set[str]:
    """Keys that are other ones than in `old`: another file, or, of what is only referred to, other content."""
    return {
        p.key
        for p in new.select()
        if (p != old.by_key.get(p.key) if p.path.startswith("features/") else _differs(old.by_key.get(p.key), p))
    }


def _differs(old: Partition | None, new: Partition) -> bool:
    return old is None or old.content_hash != new.content_hash


@needs_shared_data
def test_an_appended_day_touches_its_own_partitions_alone(bench: Bench) -> None:
    first = inputs_of(bench, World(until=START + timedelta(days=3)))
    more = inputs_of(bench, World(until=START + timedelta(days=4)))
    old = bench.features(first)
    new = bench.features(more, None, old, first)
    # The newest hour and day of the other markets get their ticks too; no other day of the pairs is touched.
    days = {key for key in rewritten(old, new) if key.count("-") == 2}
    assert days == {"bars/2018-01-14", "bars/made/2018-01-14", "features/2018-01-14"}


@needs_shared_data
def test_a_corrected_bar_reaches_as_far_as_its_windows(bench: Bench) -> None:
    inputs = inputs_of(bench, World())
    close = all_bars().filter((pl.col("market_id") == "files:ETH_BTC") & (pl.col("start") < START + timedelta(days=2)))
    world = World(repriced=((close["row"][-1], 1.0001),))
    changed = inputs_of(bench, world)
    old = bench.features(inputs)
    new = bench.features(changed, None, old, inputs)
    assert rewritten(old, new) == {"bars/2018-01-12", "features/2018-01-12", "features/2018-01-13"}


@needs_shared_data
def test_ticks_that_leave_the_bars_as_they_were_stop_there(bench: Bench) -> None:
    inputs = inputs_of(bench, World())
    old = bench.features(inputs)
    # One of several trades in a bar, neither its first, last, highest nor lowest, and without size.
    more = trades([("made:rare", START + timedelta(seconds=1), 3.0)], seq=1)
    ticks = pl.concat([World().trades(), more]).sort("market_id", "ts", "seq")
    changed = {**inputs, "ticks": bench.ticks(World().bars(), ticks, grains=GRAINS)}
    new = bench.features(changed, None, old, inputs)
    bars = bench.table(new, "bars/made/")
    assert bars["trade_count"][0] == 2
    assert rewritten(old, new) == {"bars/made/2018-01-11"}, "the features came out equal: the earlier files are kept"


@needs_shared_data
def test_what_is_only_said_of_other_markets_changes_nothing(bench: Bench) -> None:
    inputs = inputs_of(bench, World())
    old = bench.features(inputs)
    said = World().universe().with_columns(volume=pl.lit(5.0), liquidity=pl.lit(7.0), status=pl.lit("closed"))
    added = pl.concat([said, universe(**{"new:one": {"kind": "binary"}})]).sort("market_id")
    new = bench.features({**inputs, "markets": bench.markets(added)}, None, old, inputs)
    assert rewritten(old, new) == set()
    assert new.version == old.version


@needs_shared_data
@pytest.mark.parametrize(
    ("market", "fact", "value", "touched"),
    [
        ("made:hours", "end_at", START + timedelta(days=6), {"features/2017-12", "features/2018-01"}),
        ("made:rare", "kind", "fx", "every day"),
    ],
)
def test_what_is_said_of_a_market_touches_its_partitions_alone(
    bench: Bench, market: str, fact: str, value: object, touched: object
) -> None:
    inputs = inputs_of(bench, World())
    changed = {**inputs, "markets": bench.markets(World(markets=((market, fact, value),)).universe())}
    old = bench.features(inputs)
    new = bench.features(changed, None, old, inputs)
    if touched == "every day":
        assert rewritten(old, new) == set(), "nothing that features of this kind depend on"
    else:
        assert rewritten(old, new) == touched
    assert new.version == bench.features(changed).version


@needs_shared_data
def test_ticks_taken_back_make_the_newest_bar_wait_again(bench: Bench) -> None:
    """Bars of one market count as over since another has later ticks: those are taken away."""
    until = START + timedelta(days=1, minutes=18)
    world = World(until=until)
    late = pl.concat([world.trades(), trades([("late:one", START + timedelta(days=2), 1.0)])])
    markets = pl.concat([World().universe(), universe(**{"late:one": {}})]).sort("market_id")
    said = {"markets": bench.markets(markets)}
    before = {"ticks": bench.ticks(world.bars(), late.sort("market_id", "ts", "seq"), grains=GRAINS), **said}
    now = {"ticks": bench.ticks(world.bars(), world.trades(), grains=GRAINS), **said}
    old = bench.features(before)
    new = bench.features(now, None, old, before)
    assert max(bench.table(old, "bars/made/2018-01-12")["ts"]) > until
    assert not [p for p in new.select("bars/made/2018-01-12") if p.max_ts and p.max_ts > until]
    assert new.version == bench.features(now).version


@needs_shared_data
def test_a_lost_memo_costs_time_and_nothing_else(bench: Bench) -> None:
    inputs = inputs_of(bench, World())
    old = bench.features(inputs)
    bench.lake.path_of(old.by_key[".memo.json"]).unlink()
    new = bench.features(inputs, None, old, inputs)
    assert new.version == old.version
