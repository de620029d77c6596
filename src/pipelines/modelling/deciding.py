"""Forecasts as the decision rule wants them: from tables of bars, forecasts and markets to its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.costs import BINARY
from pipelines.decision import Columns, Rules

if TYPE_CHECKING:
    import polars as pl

FORECAST_COLUMNS = ("probability", "volatility", "up", "down", "error")
QUOTE_COLUMNS = ("bid_open", "ask_open", "bid_close", "ask_close")


def distance(moment: str) -> pl.Expr:
    """How far a fill at a bar's `moment` (open, close) lies from the market's price, as Costs.distance: half the spread
    of the bar's own quotes, else the market's usual one, and slippage. Of a table with quotes and costs."""
    import polars as pl

    bid, ask = pl.col(f"bid_{moment}"), pl.col(f"ask_{moment}")
    is_binary = pl.col("kind").eq_missing(BINARY)
    quoted = (ask - bid) / 2 / pl.when(is_binary).then(1.0).otherwise((ask + bid) / 2)
    return bounded_spread(pl.coalesce(quoted, "half_spread"), pl.col(moment), is_binary) + pl.col("slippage")


def bounded_spread(half_spread: pl.Expr, price: pl.Expr, is_binary: pl.Expr) -> pl.Expr:
    """Half a spread; of a binary market at most what is left on the nearer side, for its quotes lie within 0..1."""
    import polars as pl

    return pl.when(is_binary).then(pl.min_horizontal(half_spread, price, 1 - price)).otherwise(half_spread)


def columns_of(rows: pl.DataFrame, rules: Rules) -> Columns:
    """`rows` has close, the quotes at it, FORECAST_COLUMNS (null for unknown), and its market's kind and costs. What is
    forecast, moves or outcomes, `rules` says."""
    import numpy as np
    import polars as pl

    table = rows.select(
        pl.col("close").alias("price"),
        *FORECAST_COLUMNS,
        distance("close").alias("distance"),
        pl.col("fee"),
    ).with_columns(pl.all().cast(pl.Float64).fill_null(float("nan")))
    is_binary = rows.get_column("kind").eq_missing(BINARY).to_numpy()
    values = {name: table.get_column(name).to_numpy() for name in table.columns}
    return Columns(**values, is_binary=is_binary, to_resolution=np.logical_and(is_binary, rules.to_resolution))
