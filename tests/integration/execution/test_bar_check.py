"""`agent checks` compares the bars that features hands on with those that ticks had."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from agent.execution.upkeep.bar_check import changed_bars
from pipelines.components.features import Settings
from pipelines.snapshot import Snapshot
from tests.ticks import Bench, source_bars, universe, walk

START = datetime(2018, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize("interval", ["auto", 3600])
def test_bars_that_were_dropped_or_altered_are_found(tmp_path: Path, interval: object) -> None:
    bench = Bench(tmp_path)
    hours = source_bars(walk("hours", bars=40, seconds=3600, start=START), 3600)
    short = source_bars(walk("short", bars=90, seconds=1800, start=START), 1800)
    ticks = bench.ticks(pl.concat([hours, short]))
    markets = bench.markets(universe(hours={"interval_seconds": 3600}, short={"interval_seconds": 1800}))
    features = bench.features({"ticks": ticks, "markets": markets}, Settings(interval=interval))  # type: ignore[arg-type]
    seconds = interval if isinstance(interval, int) else None
    assert changed_bars(bench.lake, ticks, features, markets, seconds) == []

    first = features.select("bars/")[0]
    table = bench.lake.read_table(first)
    is_one = (pl.col("market_id") == "hours") & (pl.col("start") == START)
    for other in (table.filter(~is_one), table.with_columns(close=pl.when(is_one).then(1e9).otherwise("close"))):
        odd = bench.lake.write_table("features", first.key, other, attempt="odd", time="end")
        parts = tuple(odd if p.key == first.key else p for p in features.partitions)
        found = changed_bars(bench.lake, ticks, Snapshot("features", parts), markets, seconds)
        what = (
            f"1 of {24 if seconds else 72} bars are not what the source gave, the first of hours, 2018-01-11 00:00 UTC"
        )
        assert found == [("bars/2018-01-11", what)]
    gone = tuple(p for p in features.partitions if p.key != first.key)
    assert changed_bars(bench.lake, ticks, Snapshot("features", gone), markets, seconds)[0][0] == "bars/2018-01-11"
