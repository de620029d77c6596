"""What is predicted: the return that a trade on a bar's signal would have earned. One definition for all who ask.

A signal made when bar t is known (its `ts`) trades at the next open. Its forward return is

    close[t + h] / open[t + 1] - 1

over bars of the same market, h the horizon in bars; its label is 1 where that is more than the cost of the round trip.
Both are null while bar t + h does not exist, and where it lies further away than GAP_FACTOR times the horizon: across
a longer gap the return says nothing about this horizon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# A daily bar series skips weekends and holidays (7 days for 5 bars); beyond five times the span it is a gap.
GAP_FACTOR = 5


def with_labels(bars: pl.DataFrame, horizon_bars: int, cost_fraction: float) -> pl.DataFrame:
    """`bars` (market_id, ts, open, close, interval_seconds) sorted by market and time, with the columns

    forward_return (Float64, a fraction), label (Int8, 1 up beyond cost, else 0) and label_end (when the label became
    known: ts of bar t + h), all three null where the outcome is unknown.
    """
    import polars as pl

    limit = pl.duration(seconds=GAP_FACTOR * horizon_bars * pl.col("interval_seconds"))
    end = pl.col("ts").shift(-horizon_bars).over("market_id")
    change = pl.col("close").shift(-horizon_bars).over("market_id") / pl.col("open").shift(-1).over("market_id") - 1
    return (
        bars.sort("market_id", "ts")
        .with_columns(label_end=end, forward_return=change)
        .with_columns(known=(pl.col("label_end") - pl.col("ts") <= limit) & pl.col("forward_return").is_finite())
        .with_columns(
            pl.when("known").then("label_end").alias("label_end"),
            pl.when("known").then("forward_return").alias("forward_return"),
            pl.when("known").then((pl.col("forward_return") > cost_fraction).cast(pl.Int8)).alias("label"),
        )
        .drop("known")
    )
