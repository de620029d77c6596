"""Features that a model makes of the features it is given: returns in units of volatility, and of the cross-section."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

PRICE_LOG_ODDS = "price_log_odds"
_LEAST_PRICE = 0.001  # prices nearer to 0 or 1 count as this far away: one tick of most platforms
_RETURN = re.compile(r"(?:log_)?return_(\d+)")
_VOLATILITY = ("volatility_long", "volatility_short")


def derive(rows: pl.DataFrame) -> pl.DataFrame:
    """The features in `rows` (its columns but ts) in order, then of each feature log_return_N or return_N

    - NAME_scaled: return / (volatility per bar x sqrt(N)), where there is a feature volatility_long or volatility_short
    - NAME_market: mean of that over all markets with a row at the same ts
    - NAME_relative: that less its mean

    A row needs nothing but the other rows of its own instant, so the newest rows alone give what training gave them.
    """
    import polars as pl

    names = [name for name in rows.columns if name != "ts"]
    volatility = next((pl.col(name) for name in _VOLATILITY if name in names), None)
    scaled: dict[str, pl.Expr] = {}
    for name in names:
        found = _RETURN.fullmatch(name)
        if found:
            value = pl.col(name).cast(pl.Float64)
            ratio = value if volatility is None else value / (volatility * int(found[1]) ** 0.5)
            scaled[f"{name}_scaled"] = pl.when(ratio.is_finite()).then(ratio)
    if not scaled:
        return rows.select(names)
    made = rows.with_columns(**scaled)
    means = {f"{name}_market": pl.col(f"{name}_scaled").mean().over("ts") for name in _stems(scaled)}
    made = made.with_columns(**means)
    relative = {f"{name}_relative": pl.col(f"{name}_scaled") - pl.col(f"{name}_market") for name in _stems(scaled)}
    return made.with_columns(**relative).select(*names, pl.col(*scaled, *means, *relative).cast(pl.Float32))


def _stems(scaled: dict[str, pl.Expr]) -> list[str]:
    return [name.removesuffix("_scaled") for name in scaled]


def completed(rows: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    """`rows` (with ts and close) and those of `features` that they lack and that are derived from what they have."""
    if PRICE_LOG_ODDS in features:
        rows = rows.with_columns(price_log_odds())
    given = [name for name in features if name in rows.columns]
    if len(given) == len(features):
        return rows
    made = derive(rows.select("ts", *given))
    return rows.hstack([made.get_column(name) for name in made.columns if name not in rows.columns])


def price_log_odds() -> pl.Expr:
    """ln(p / (1 - p)) of the price p at a bar's close."""
    import polars as pl

    price = pl.col("close").clip(_LEAST_PRICE, 1 - _LEAST_PRICE)
    return (price / (1 - price)).log().alias(PRICE_LOG_ODDS)
