"""Features over bars: every feature of every bar of one partition, from exactly the bars that may count.

The definition is per partition. Rolling sums carry rounding from wherever they started, so a value depends in its last
bits on the first bar taken in: that is always the first one within the look-back of the partition's start, whether one
partition is computed or all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.feature import Bars, Feature
from pipelines.features.facts import with_facts

if TYPE_CHECKING:
    import polars as pl

OWN_ROW = ".own"  # marks the partition's own bars among the older ones


def look_back(features: Sequence[Feature], interval_seconds: int, max_reach: float) -> timedelta:
    """How far before a partition's start the oldest bar may lie that counts for one of its features."""
    return timedelta(seconds=longest(features) * interval_seconds * max_reach)


def counted(
    bars: pl.DataFrame,
    older: pl.DataFrame,
    markets: pl.DataFrame,
    features: Sequence[Feature],
    start: datetime,
    max_reach: float,
) -> pl.DataFrame:
    """The bars that count, sorted, with what features need besides; the partition's own are marked by OWN_ROW.

    `bars` are those of the partition that starts at `start`, `older` those of partitions before it, more than needed
    allowed; `markets` has market_id, kind, end_at and maybe `history`.
    """
    import polars as pl

    market = "market_id"
    reach = _span(longest(features), max_reach)
    frames = [bars.with_columns(pl.lit(True).alias(OWN_ROW))]
    if older.height:
        mine = older.join(bars.select(market).unique(), on=market, how="semi")
        age = (pl.lit(start) - pl.col("ts")).dt.total_microseconds()
        frames.append(mine.filter(age <= reach).with_columns(pl.lit(False).alias(OWN_ROW)))
    close = pl.col("close")
    return (
        pl.concat(frames)
        .sort(market, "ts")
        .pipe(with_facts, markets)
        .with_columns(log_return=(close / close.shift(1)).log().over(market))
        .with_columns(market_return=pl.col("log_return").mean().over("ts"))
    )


def values(frame: pl.DataFrame, features: Sequence[Feature], max_reach: float) -> pl.DataFrame:
    """A row for each of the rows of `frame` (as `counted` gives it) that OWN_ROW marks: market_id, ts and a Float32
    column per feature, sorted by (market_id, ts).

    A value is null where the feature has no finite value, or where the oldest of its n bars is older than n intervals ×
    `max_reach`: a market that trades rarely gets no longer reach.
    """
    worked_out, kept = _expressions(tuple(features), max_reach)
    return frame.select("market_id", "ts", OWN_ROW, *worked_out).filter(OWN_ROW).select("market_id", "ts", *kept)


@lru_cache(maxsize=8)
def _expressions(features: tuple[Feature, ...], max_reach: float) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """The features with what tells whether they may count, and those that do. Made once: for a small partition that
    takes longer than working them out."""
    import polars as pl

    market, ts = "market_id", pl.col("ts")
    namespace = Bars()
    columns = [one.function(namespace).over(market).cast(pl.Float32).alias(one.name) for one in features]
    near = [
        ((ts - ts.shift(n - 1)).dt.total_microseconds() <= _span(n, max_reach)).over(market).alias(f".near{n}")
        for n in sorted({one.bars for one in features})
    ]
    kept = [
        pl.when(pl.col(f".near{one.bars}") & pl.col(one.name).is_finite()).then(pl.col(one.name)).alias(one.name)
        for one in features
    ]
    return [*columns, *near], kept


def columns_of(features: Sequence[Feature]) -> list[str] | None:
    """The columns of bars that features and windows look at; None where that cannot be told."""
    namespace = Bars()
    found = {"market_id", "ts", "interval_seconds", "close"}
    for expression in (one.function(namespace) for one in features):
        if expression.meta.has_multiple_outputs():
            return None
        found.update(expression.meta.root_names())
    return sorted(found)


def longest(features: Sequence[Feature]) -> int:
    """Bars that the farthest-reaching of `features` depends on."""
    return max((one.bars for one in features), default=1)


def _span(bars: int, max_reach: float) -> pl.Expr:
    """How far back the oldest of `bars` bars may lie, in microseconds."""
    import polars as pl

    return (pl.col("interval_seconds") * (bars * max_reach * 1e6)).cast(pl.Int64)
