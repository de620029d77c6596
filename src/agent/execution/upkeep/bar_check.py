"""Are the bars that models and backtests see those that the sources gave, value by value?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.features.bars import market_intervals
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.source import BAR_COLUMNS

if TYPE_CHECKING:
    import polars as pl

_OWN, _MADE = "bars/", "bars/made/"


def changed_bars(
    lake: Lake, ticks: Snapshot, features: Snapshot, markets: Snapshot, interval_seconds: int | None
) -> list[tuple[str, str]]:
    """Partitions of `ticks` with bars that `features`, made of them, lacks or has otherwise, and what is wrong.

    Markets whose bars are joined to longer ones of `interval_seconds` are left out: those are other bars.
    """
    import polars as pl

    known = market_intervals(lake.read_tables(markets.select("markets")), interval_seconds)
    kept = known.filter(pl.col("seconds").is_null()).get_column("market_id").implode()
    found = []
    for partition in ticks.select(_OWN):
        span = partition.key.removeprefix(_OWN)
        out = features.by_key.get(_OWN + span)
        if out is not None and out.content_hash == partition.content_hash:
            continue
        given = lake.read_table(partition).filter(pl.col("market_id").is_in(kept))
        parts = [features.by_key[name] for name in (_OWN + span, _MADE + span) if name in features.by_key]
        fault = _difference(given, lake.read_tables(parts, tuple(BAR_COLUMNS)))
        if fault is not None:
            found.append((partition.key, fault))
    return found


def _difference(given: pl.DataFrame, seen: pl.DataFrame) -> str | None:
    if given.is_empty():
        return None
    missing = given if seen.is_empty() else given.join(seen, on=list(BAR_COLUMNS), how="anti", nulls_equal=True)
    if missing.is_empty():
        return None
    first = missing.row(0, named=True)
    return (
        f"{missing.height} of {given.height} bars are not what the source gave, the first of {first['market_id']}, "
        f"{first['start']:%Y-%m-%d %H:%M} UTC"
    )
