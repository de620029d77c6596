"""Turnover per market and month: the sum of close × volume, in the market's quote currency."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipelines.component import Context, component
from pipelines.settings import setting
from pipelines.snapshot import Reads

# Only these columns of the bars count as input: a change in any other one is no reason to run.
_BARS = Reads(columns=("market_id", "start", "close", "volume"), prefix="bars/")


@dataclass(frozen=True)
class Settings:
    """[turnover]"""

    min_bars: int = setting(1, "Months of a market with fewer bars are left out.", low=1)


@component(upstream={"features": _BARS}, settings=Settings)
def sum_turnover(ctx: Context, settings: Settings) -> None:
    """One partition of output per partition of bars: what did not change is carried over."""
    features = ctx.inputs["features"]
    for number, key in enumerate(features.keys, start=1):
        ctx.progress(number, len(features.keys), key)
        own_key = key.removeprefix("bars/")
        if key not in features.changed and ctx.carry(own_key):
            continue
        months = (
            features.read(key)
            .group_by("market_id", pl.col("start").dt.truncate("1mo").alias("month"))
            .agg((pl.col("close") * pl.col("volume")).sum().alias("turnover"), pl.len().alias("bars"))
            .filter(pl.col("bars") >= settings.min_bars)
        )
        ctx.write_table(own_key, months, sort_by=["market_id", "month"])
