"""Ticks to bars: open, high, low, close, volume and last quotes of each interval in which there was a tick.

No bar is invented for an interval without ticks. A bar at `ts` holds ticks before `ts` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import PipelineError

if TYPE_CHECKING:
    import polars as pl

TRADE_INTERVAL_SECONDS = 300  # of markets whose source gives single trades or quotes
TICKS_READ = ("market_id", "ts", "price", "size", "bid", "ask", "synthetic")


def market_intervals(markets: pl.DataFrame, interval_seconds: int | None) -> pl.DataFrame:
    """The bar interval of each market: columns market_id, interval_seconds (Int64), from_bars (Boolean: the source's
    own bars are kept as they are).

    `markets` has market_id and interval_seconds (of the source's bars, null for trades and quotes). With
    `interval_seconds` None each market keeps its own, 300 s where it has none. Raises PipelineError where the interval
    asked for is finer than a market's bars or no multiple of them: such bars would be made up.
    """
    import polars as pl

    own = pl.col("interval_seconds")
    if interval_seconds is None:
        return markets.select("market_id", own.fill_null(TRADE_INTERVAL_SECONDS), from_bars=own.is_not_null())
    unfit = markets.filter(pl.lit(interval_seconds) % own != 0).sort("market_id")
    if unfit.height:
        raise PipelineError(
            f"{unfit.height} markets have bars that do not fit into bars of {interval_seconds} s: "
            f"{unfit.item(0, 'market_id')} has bars of {unfit.item(0, 'interval_seconds')} s",
            where="[features] interval",
            mend='set interval = "auto", or a multiple of the source\'s interval',
        )
    keeps = pl.col("interval_seconds").eq_missing(interval_seconds)
    return markets.select("market_id", interval_seconds=pl.lit(interval_seconds, pl.Int64), from_bars=keeps)


def make_bars(ticks: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """Bars of one partition of ticks, columns checks.BARS, sorted by (market_id, ts).

    `ticks` has TICKS_READ, sorted by (market_id, ts, seq); `intervals` is what market_intervals gives. A bar starts at
    a multiple of its interval since 1970 (UTC) or, where the source gave bars, where the source's bar starts (equity
    hours from 13:30, FX days from 22:00). Raises PipelineError for ticks of a market that `intervals` does not know.
    """
    import polars as pl

    known = ticks.join(intervals, on="market_id", how="left", maintain_order="left")
    strangers = known.filter(pl.col("interval_seconds").is_null())
    if strangers.height:
        raise PipelineError(
            f"{strangers.height} ticks are of a market that is not in the universe: {strangers.item(0, 'market_id')}",
            where="ticks",
            mend="`agent mark-dirty markets`, then `agent run`",
        )
    price, bid, ask = pl.col("price"), pl.col("bid"), pl.col("ask")
    return (
        known.with_columns(_bar_start())
        .group_by("market_id", "bar_start", "interval_seconds", maintain_order=True)
        .agg(
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            # The sum of no sizes is 0; a source without sizes has no volume, which is not the same.
            volume=pl.when(pl.col("size").count() > 0).then(pl.col("size").sum()),
            bid=bid.last(ignore_nulls=True),
            ask=ask.last(ignore_nulls=True),
            trade_count=(pl.col("synthetic") == 0).sum().cast(pl.Int64),
        )
        .with_columns(ts=pl.col("bar_start") + pl.duration(seconds="interval_seconds"))
        .with_columns(spread=(ask - bid) / ((ask + bid) / 2))
        .select(
            "market_id",
            "ts",
            "bar_start",
            "interval_seconds",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "bid",
            "ask",
            "spread",
            "trade_count",
        )
        .sort("market_id", "ts", maintain_order=True)
    )


def _bar_start() -> pl.Expr:
    """Start of the bar that each tick belongs to, as column bar_start."""
    import polars as pl

    ts = pl.col("ts")
    interval = pl.col("interval_seconds") * 1_000_000
    since_epoch = ts.dt.epoch("us")
    grid = (since_epoch - since_epoch % interval).cast(pl.Datetime("us", "UTC"))
    # The four ticks of a source's bar follow each other, the open first, at the bar's start. One whose open lies in
    # another partition or too far back falls to the grid.
    opened = pl.when(pl.col("synthetic") == 1).then(ts).forward_fill().over("market_id")
    is_inside = pl.col("from_bars") & (pl.col("synthetic") > 0) & (since_epoch - opened.dt.epoch("us") < interval)
    return pl.when(is_inside).then(opened).otherwise(grid).alias("bar_start")
