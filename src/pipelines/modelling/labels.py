"""What is predicted: the return that a trade on a bar's signal would have earned. One definition for all who ask.

A signal made when bar t is known (at its `end`) trades at the next open. Its forward return is

    close[t + h] / open[t + 1] - 1

over bars of the same market, h the horizon in bars; its label is 1 where that is more than the cost of the round trip.
Both are null while bar t + h does not exist, and where a gap lies between: bar t + h is known later than GAP_FACTOR
times h times the market's usual spacing. Across a longer gap the return says nothing about this horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# A daily bar series skips weekends and holidays (7 days for 5 bars); beyond five times the span it is a gap.
GAP_FACTOR = 5


def usual_spacing(bars: pl.DataFrame) -> pl.DataFrame:
    """How far apart the bars of each market usually are: columns market_id and spacing_seconds (Int64), the median
    distance of one bar's end from the next one's; of a market with a single bar that bar's length.

    `bars` has market_id, start and end.
    """
    import polars as pl

    end = pl.col("end")
    step = (end - end.shift(1).over("market_id")).dt.total_seconds()
    return (
        bars.sort("market_id", "end")
        .with_columns(_step=step, _length=(end - pl.col("start")).dt.total_seconds())
        .group_by("market_id", maintain_order=True)
        .agg(spacing_seconds=pl.coalesce(pl.col("_step").median(), pl.col("_length").last()).cast(pl.Int64))
    )


def as_spacing(seconds: Mapping[str, int]) -> pl.DataFrame:
    """What usual_spacing found, from where it was written down: market_id -> seconds."""
    import polars as pl

    schema = {"market_id": pl.String, "spacing_seconds": pl.Int64}
    return pl.DataFrame(list(seconds.items()), schema=schema, orient="row")


def with_labels(bars: pl.DataFrame, spacing: pl.DataFrame, horizon_bars: int, cost_fraction: float) -> pl.DataFrame:
    """`bars` (market_id, ts = when the bar is known, open, close) sorted by market and time, with the columns

    forward_return (Float64, a fraction), label (Int8, 1 up beyond cost, else 0) and label_end (when the label became
    known: ts of bar t + h), all three null where the outcome is unknown. `spacing` is as usual_spacing makes it; a
    market that it lacks has no gaps.
    """
    import polars as pl

    limit = pl.duration(seconds=GAP_FACTOR * horizon_bars * pl.col("spacing_seconds"))
    end = pl.col("ts").shift(-horizon_bars).over("market_id")
    change = pl.col("close").shift(-horizon_bars).over("market_id") / pl.col("open").shift(-1).over("market_id") - 1
    return (
        bars.sort("market_id", "ts")
        .join(spacing.select("market_id", "spacing_seconds"), on="market_id", how="left", maintain_order="left")
        .with_columns(label_end=end, forward_return=change)
        .with_columns(
            known=(pl.col("label_end") - pl.col("ts") <= limit).fill_null(pl.col("label_end").is_not_null())
            & pl.col("forward_return").is_finite()
        )
        .with_columns(
            pl.when("known").then("label_end").alias("label_end"),
            pl.when("known").then("forward_return").alias("forward_return"),
            pl.when("known").then((pl.col("forward_return") > cost_fraction).cast(pl.Int8)).alias("label"),
        )
        .drop("known", "spacing_seconds")
    )
