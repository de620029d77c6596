"""What is predicted: the return that a trade on a bar's signal would have earned. One definition for all who ask.

A signal made when bar t is known (at its `end`) trades at the next open. Its forward return is

    close[t + h] / open[t + 1] - 1          a fraction
    close[t + h] - open[t + 1]              of a binary market, in units of its payoff 1

over bars of the same market, h the horizon in bars. Where the market was resolved by then its price is what it paid:
the payout stands for the close, and the outcome is known when the resolution is. The label is 1 where the return is
more than the cost of the trade at the open's price: a fill to enter and one to leave, of which a payout needs none. So
the live outcome of a prediction is by construction the label that its row trains on later.

With RESOLUTION for the horizon what is predicted is what a binary market pays in the end: the forward return is that
less the next open, and the label 1 for YES. A market that pays just one half has no label.

All are null while the outcome is unknown, and where a gap lies between: bar t + h, or the resolution, is known later
than GAP_FACTOR times h times the market's usual spacing. Across a longer gap the return says nothing of this horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.costs import BINARY, unit_cost
from pipelines.modelling.deciding import bounded_spread

if TYPE_CHECKING:
    import polars as pl

# A daily bar series skips weekends and holidays (7 days for 5 bars); beyond five times the span it is a gap.
GAP_FACTOR = 5
RESOLUTION = 0  # stands for a horizon: until the market is resolved
# What labels need to know of a market: columns of the table of markets.
MARKET_FACTS = ("market_id", "kind", "resolution", "resolved_at", "half_spread", "slippage", "fee")


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


def with_labels(bars: pl.DataFrame, spacing: pl.DataFrame, horizon_bars: int, markets: pl.DataFrame) -> pl.DataFrame:
    """`bars` (market_id, ts = when the bar is known, open, close) sorted by market and time, with the columns

    forward_return (Float64), label (Int8, 1 up beyond cost, else 0) and label_end (when the label became known), all
    three null where the outcome is unknown, and cost (Float64, of the trade, in the unit of forward_return; null where
    no bar follows).

    `spacing` is as usual_spacing makes it; a market that it lacks has no gaps. `markets` has MARKET_FACTS; one that it
    lacks costs nothing.
    """
    import polars as pl

    if horizon_bars == RESOLUTION:
        return _with_outcomes(bars, markets)

    binary = pl.col("kind").eq_missing(BINARY)
    flag, unit = binary.cast(pl.Float64), pl.when(binary).then(1.0).otherwise(pl.col("_entry"))
    spread = bounded_spread(pl.col("half_spread"), pl.col("_entry"), binary)
    distance, fee = (spread + pl.col("slippage")).fill_null(0.0), pl.col("fee").fill_null(0.0)
    limit = pl.duration(seconds=GAP_FACTOR * horizon_bars * pl.col("spacing_seconds"))
    is_paid = pl.col("resolved_at").is_not_null() & pl.col("resolution").is_not_null()
    # A bar that is known only when the resolution is says no more than the payout does.
    is_paid &= pl.col("_end").is_null() | (pl.col("_end") >= pl.col("resolved_at"))
    is_paid &= pl.col("resolved_at") > pl.col("ts")
    label_end = pl.when("_paid").then("resolved_at").otherwise("_end")
    fill = {side: unit_cost(pl.col("_entry"), side, distance, fee, flag) for side in (1, -1)}
    return (
        bars.sort("market_id", "ts")
        .join(spacing.select("market_id", "spacing_seconds"), on="market_id", how="left", maintain_order="left")
        .join(markets.select(MARKET_FACTS), on="market_id", how="left", maintain_order="left")
        .with_columns(
            _end=pl.col("ts").shift(-horizon_bars).over("market_id"),
            _exit=pl.col("close").shift(-horizon_bars).over("market_id"),
            _entry=pl.col("open").shift(-1).over("market_id"),
        )
        .with_columns(_paid=is_paid)
        .with_columns(
            label_end=label_end,
            forward_return=(pl.when("_paid").then("resolution").otherwise("_exit") - pl.col("_entry")) / unit,
            cost=(fill[1] + pl.when("_paid").then(0.0).otherwise(fill[-1])) / unit,
        )
        .with_columns(
            known=(pl.col("label_end") - pl.col("ts") <= limit).fill_null(pl.col("label_end").is_not_null())
            & pl.col("forward_return").is_finite()
        )
        .with_columns(
            pl.when("known").then("label_end").alias("label_end"),
            pl.when("known").then("forward_return").alias("forward_return"),
            pl.when("known").then((pl.col("forward_return") > pl.col("cost")).cast(pl.Int8)).alias("label"),
        )
        .drop("known", "spacing_seconds", "_end", "_exit", "_entry", "_paid", *MARKET_FACTS[1:])
    )


def _with_outcomes(bars: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """As with_labels, of what binary markets pay: other markets' rows have no label."""
    import polars as pl

    entry, paid = pl.col("_entry"), pl.col("resolution")
    spread = bounded_spread(pl.col("half_spread"), entry, pl.lit(value=True))
    distance, fee = (spread + pl.col("slippage")).fill_null(0.0), pl.col("fee").fill_null(0.0)
    is_known = (
        pl.col("kind").eq_missing(BINARY)
        & paid.is_not_null()
        & (paid != 0.5)
        & (pl.col("resolved_at") > pl.col("ts"))
        & entry.is_finite()
    )
    return (
        bars.sort("market_id", "ts")
        .join(markets.select(MARKET_FACTS), on="market_id", how="left", maintain_order="left")
        .with_columns(_entry=pl.col("open").shift(-1).over("market_id"))
        .with_columns(cost=unit_cost(entry, 1, distance, fee, pl.lit(1.0)), _known=is_known.fill_null(value=False))
        .with_columns(
            pl.when("_known").then("resolved_at").alias("label_end"),
            pl.when("_known").then(paid - entry).alias("forward_return"),
            pl.when("_known").then((paid > 0.5).cast(pl.Int8)).alias("label"),
        )
        .drop("_known", "_entry", *MARKET_FACTS[1:])
    )
