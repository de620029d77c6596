"""Bars from ticks: against pandas on real trades, and where a bar begins and is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipelines.bars import make_bars, market_intervals
from pipelines.checks import check_bars
from pipelines.errors import PipelineError
from tests.paths import needs_shared_data
from tests.ticks import crypto_trades, ticks_of_bars, trades, universe, walk

START = datetime(2020, 1, 3, tzinfo=UTC)


def intervals(ticks: pl.DataFrame, own: int | None = None, wanted: int | None = None) -> pl.DataFrame:
    ids = ticks.get_column("market_id").unique(maintain_order=True)
    return market_intervals(universe(**{name: {"interval_seconds": own} for name in ids}), wanted)


@needs_shared_data
@pytest.mark.parametrize("seconds", [300, 3600])
def test_bars_of_real_trades_are_what_pandas_resamples(seconds: int) -> None:
    ticks = crypto_trades()
    bars = make_bars(ticks, intervals(ticks, wanted=seconds))
    check_bars(bars)
    frame = ticks.select("ts", "price", "size").to_pandas().set_index("ts")
    grouped = frame.resample(f"{seconds}s", closed="left", label="right")
    expected = grouped["price"].ohlc()
    expected["volume"], expected["count"] = grouped["size"].sum(), grouped["size"].count()
    expected = expected[expected["count"] > 0]
    assert bars.height == len(expected) > 30
    assert [value.timestamp() for value in bars["ts"]] == [value.timestamp() for value in expected.index]
    for name in ("open", "high", "low", "close"):
        assert bars[name].to_list() == expected[name].to_list()
    np.testing.assert_allclose(bars["volume"].to_numpy(), expected["volume"].to_numpy(), rtol=1e-12)
    assert bars["trade_count"].to_list() == expected["count"].to_list()


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=13, minutes=30), timedelta(hours=22)])
def test_source_bars_come_out_as_they_went_in_wherever_they_start(offset: timedelta) -> None:
    source = walk("m", bars=40, seconds=3600, start=START + offset)
    ticks = ticks_of_bars(source, 3600)
    bars = make_bars(ticks, intervals(ticks, own=3600))
    assert bars["bar_start"].to_list() == source["ts"].to_list()
    assert bars.select("open", "high", "low", "close", "volume").equals(
        source.select("open", "high", "low", "close", "volume")
    )
    assert bars["trade_count"].sum() == 0


def test_bars_can_be_made_coarser_but_not_finer() -> None:
    source = walk("m", bars=48, seconds=1800, start=START)
    ticks = ticks_of_bars(source, 1800)
    hours = make_bars(ticks, intervals(ticks, own=1800, wanted=3600))
    frame = source.to_pandas().set_index("ts").resample("3600s")
    assert hours["high"].to_list() == frame["high"].max().to_list()
    assert hours["close"].to_list() == frame["close"].last().to_list()
    np.testing.assert_allclose(hours["volume"].to_numpy(), frame["volume"].sum().to_numpy(), rtol=1e-12)
    for unfit in (900, 2700):
        with pytest.raises(PipelineError, match=f"do not fit into bars of {unfit} s: m has bars of 1800 s"):
            intervals(ticks, own=1800, wanted=unfit)


def test_a_bar_is_labelled_with_the_instant_it_is_known_and_none_is_invented() -> None:
    seconds = [0, 299.999999, 300, 1500]
    ticks = trades(("m", START + timedelta(seconds=s), price) for s, price in zip(seconds, [1, 2, 3, 4], strict=True))
    bars = make_bars(ticks, intervals(ticks))
    assert bars["ts"].to_list() == [START + timedelta(seconds=s) for s in (300, 600, 1800)]
    assert bars["close"].to_list() == [2, 3, 4]
    assert bars["volume"].null_count() == 3, "no sizes is not a volume of nothing"


def test_the_last_quotes_of_a_bar_give_its_spread() -> None:
    ticks = trades([("m", START + timedelta(seconds=s), 10.0) for s in (1, 2, 3)])
    ticks = ticks.with_columns(
        bid=pl.Series([9.0, 9.5, None], dtype=pl.Float64), ask=pl.Series([11.0, None, 10.5], dtype=pl.Float64)
    )
    bar = make_bars(ticks, intervals(ticks)).row(0, named=True)
    assert (bar["bid"], bar["ask"], bar["spread"]) == (9.5, 10.5, 0.1)


def test_markets_in_one_partition_keep_their_own_intervals() -> None:
    ticks = pl.concat(
        [
            ticks_of_bars(walk("a", bars=3, seconds=3600, start=START), 3600),
            trades(("b", START + timedelta(seconds=s), 1.0) for s in (10, 400)),
        ]
    )
    markets = universe(a={"interval_seconds": 3600}, b={})
    bars = make_bars(ticks, market_intervals(markets, None))
    assert bars["interval_seconds"].to_list() == [3600] * 3 + [300] * 2
    assert bars["market_id"].to_list() == ["a"] * 3 + ["b"] * 2


def test_ticks_of_an_unknown_market_are_an_error() -> None:
    ticks = trades([("ghost", START, 1.0)])
    with pytest.raises(PipelineError, match="1 ticks are of a market that is not in the universe: ghost"):
        make_bars(ticks, market_intervals(universe(m={}), None))


def test_times_before_1970_have_their_grid_too() -> None:
    ticks = trades([("m", datetime(1969, 12, 31, 23, 58, tzinfo=UTC), 1.0)])
    assert make_bars(ticks, intervals(ticks))["bar_start"].item() == datetime(1969, 12, 31, 23, 55, tzinfo=UTC)
