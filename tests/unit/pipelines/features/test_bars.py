"""Bars from ticks: against pandas on real trades, and where a bar begins and is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipelines.data.checks import check_bars
from pipelines.errors import PipelineError
from pipelines.features.bars import bars_of_trades, join_bars, look_at, market_intervals
from tests.paths import needs_shared_data
from tests.ticks import crypto_trades, source_bars, trades, universe, walk

START = datetime(2020, 1, 3, tzinfo=UTC)


def intervals(ticks: pl.DataFrame, own: int | None = None, wanted: int | None = None) -> pl.DataFrame:
    ids = ticks.get_column("market_id").unique(maintain_order=True)
    return market_intervals(universe(**{name: {"interval_seconds": own} for name in ids}), wanted)


@needs_shared_data
@pytest.mark.parametrize("seconds", [300, 3600])
def test_bars_of_real_trades_are_what_pandas_resamples(seconds: int) -> None:
    ticks = crypto_trades()
    made = bars_of_trades(ticks, intervals(ticks, wanted=seconds))
    check_bars(made)
    bars = look_at(made)
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


def test_bars_can_be_made_longer_but_not_shorter() -> None:
    source = walk("m", bars=48, seconds=1800, start=START)
    bars = source_bars(source, 1800)
    hours = join_bars(bars, intervals(bars, own=1800, wanted=3600))
    check_bars(hours)
    frame = source.to_pandas().set_index("ts").resample("3600s")
    assert hours["high"].to_list() == frame["high"].max().to_list()
    assert hours["close"].to_list() == frame["close"].last().to_list()
    np.testing.assert_allclose(hours["volume"].to_numpy(), frame["volume"].sum().to_numpy(), rtol=1e-12)
    for unfit in (900, 2700):
        with pytest.raises(PipelineError, match=rf"bars of m \(1800s\) do not fit into bars of {unfit} s"):
            intervals(bars, own=1800, wanted=unfit)


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=2), timedelta(minutes=45), timedelta(seconds=45)])
@pytest.mark.parametrize("short", [300, 3600, 14_400])
def test_longer_bars_hold_whole_ones_wherever_those_start(offset: timedelta, short: int) -> None:
    bars = source_bars(walk("m", bars=90, seconds=short, start=START + offset), short)
    some = bars.gather(sorted({0, 1, 2, 5, *range(9, 60), 63, 64, 80, 89}))  # some are missing, at the edges too
    days = join_bars(some, intervals(some, own=short, wanted=86_400))
    check_bars(days)
    held = 0
    for day in days.iter_rows(named=True):
        mine = some.filter(pl.col("start") >= day["start"], pl.col("end") <= day["end"])
        held += mine.height
        assert day["end"] - day["start"] == timedelta(days=1)
        assert (day["open"], day["close"]) == (mine["open"][0], mine["close"][-1])
        assert (day["high"], day["low"]) == (mine["high"].max(), mine["low"].min())
    assert held == some.height, "each short bar is whole in one long bar"


def test_a_calendars_bars_are_not_joined_and_a_day_is_a_day() -> None:
    markets = universe(d={"interval": "day", "timezone": "Europe/Paris"})
    assert market_intervals(markets, 86_400).row(0) == ("d", None, True)
    with pytest.raises(PipelineError, match=r"bars of w \(week\) do not fit into bars of 86400 s"):
        market_intervals(universe(w={"interval": "week", "timezone": "UTC"}), 86_400)


def test_a_bar_is_labelled_with_the_instant_it_is_known_and_none_is_invented() -> None:
    seconds = [0, 299.999999, 300, 1500]
    ticks = trades(("m", START + timedelta(seconds=s), price) for s, price in zip(seconds, [1, 2, 3, 4], strict=True))
    bars = look_at(bars_of_trades(ticks, intervals(ticks)))
    assert bars["ts"].to_list() == [START + timedelta(seconds=s) for s in (300, 600, 1800)]
    assert bars["close"].to_list() == [2, 3, 4]
    assert bars["volume"].null_count() == 3, "no sizes is not a volume of nothing"


def test_the_last_quotes_of_a_bar_give_its_spread() -> None:
    ticks = trades([("m", START + timedelta(seconds=s), 10.0) for s in (1, 2, 3)])
    ticks = ticks.with_columns(
        bid=pl.Series([9.0, 9.5, None], dtype=pl.Float64), ask=pl.Series([11.0, None, 10.5], dtype=pl.Float64)
    )
    bar = look_at(bars_of_trades(ticks, intervals(ticks))).row(0, named=True)
    assert (bar["bid"], bar["ask"], bar["spread"]) == (9.5, 10.5, 0.1)
    assert (bar["bid_open"], bar["bid_high"], bar["ask_open"], bar["ask_low"]) == (9.0, 9.5, 11.0, 10.5)


def test_ticks_of_an_unknown_market_are_an_error() -> None:
    ticks = trades([("ghost", START, 1.0)])
    with pytest.raises(PipelineError, match="1 trades are of a market that is not in the universe: ghost"):
        bars_of_trades(ticks, market_intervals(universe(m={}), None))


def test_times_before_1970_have_their_grid_too() -> None:
    ticks = trades([("m", datetime(1969, 12, 31, 23, 58, tzinfo=UTC), 1.0)])
    assert bars_of_trades(ticks, intervals(ticks))["start"].item() == datetime(1969, 12, 31, 23, 55, tzinfo=UTC)
