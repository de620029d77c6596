"""What a notebook gets: rows up to an instant, chosen columns, and clear words where there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.errors import PipelineError
from pipelines.loading import load_frame
from pipelines.snapshot import Snapshot
from tests.ticks import Bench, source_bars, universe, walk

START = datetime(2018, 1, 11, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def features(bench: Bench) -> Snapshot:
    ticks = source_bars(walk("m", bars=3 * 288, seconds=300, start=START), 300)
    markets = bench.markets(universe(m={"interval_seconds": 300}))
    return bench.features({"ticks": bench.ticks(ticks), "markets": markets})


@pytest.mark.parametrize("after", [timedelta(0), timedelta(hours=30), timedelta(days=1), timedelta(days=9)])
def test_as_of_shows_what_was_known_then(bench: Bench, features: Snapshot, after: timedelta) -> None:
    everything = load_frame(bench.lake, features, "features/")
    assert everything.height == 3 * 288
    rows = load_frame(bench.lake, features, "features/", START + after)
    assert rows.equals(everything.filter(pl.col("ts") <= START + after))
    assert rows.schema == everything.schema


def test_partitions_after_the_instant_are_not_read(bench: Bench, features: Snapshot) -> None:
    bench.lake.path_of(features.by_key["bars/2018-01-13"]).unlink()
    assert load_frame(bench.lake, features, "bars/", START + timedelta(days=2)).height == 2 * 288


def test_columns_are_those_asked_for_in_that_order(bench: Bench, features: Snapshot) -> None:
    rows = load_frame(bench.lake, features, "features/", START + timedelta(hours=1), ["rsi", "market_id"])
    assert rows.columns == ["rsi", "market_id"]
    assert rows.height == 12


def test_what_cannot_be_given_is_said(bench: Bench, features: Snapshot) -> None:
    with pytest.raises(PipelineError, match="features has no column rsy"):
        load_frame(bench.lake, features, "features/", columns=["rsy"])
    with pytest.raises(PipelineError, match="has no time zone"):
        load_frame(bench.lake, features, "bars/", datetime(2018, 1, 12))  # noqa: DTZ001
    with pytest.raises(PipelineError, match="markets has no event time"):
        load_frame(bench.lake, bench.markets(universe(m={})), "", START)
    with pytest.raises(PipelineError, match=r"ticks has no table(?s:.*)run the pipeline first"):
        load_frame(bench.lake, Snapshot("ticks", ()))
