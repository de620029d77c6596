"""What is known of markets besides their rows: when they end, and the splits by which earlier prices are adjusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.file_tables.read import LINE, is_text, open_table
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.data.file_tables.values import ALL_PRICES
from pipelines.errors import BadInput
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(?:[:/]|for|to)\s*(\d+(?:\.\d+)?)\s*)?")
_NAMES = {
    "market": ("market", "symbol", "ticker", "name"),
    "date": ("date", "ts"),
    "ratio": ("ratio", "split", "factor"),
}


@dataclass(frozen=True)
class MarketFacts:
    """ends: market_id, end_at, where rows are cut there. splits: as read_splits gives them. None: there are none."""

    ends: pl.DataFrame | None = None
    splits: pl.DataFrame | None = None


def read_splits(source: str, dataset: Dataset, files: Sequence[Path]) -> pl.DataFrame | None:
    """Splits as market_id, `at` (the first instant of the day, from which prices are after the split) and `factor`, by
    which earlier prices are divided for it and all later ones; sorted by `at`. Raises BadInput."""
    import polars as pl

    if not files:
        return None
    frame = pl.concat([_read(source, dataset, file) for file in files]).sort("market_id", "at")
    after = pl.col("ratio").cum_prod(reverse=True).over("market_id")
    return frame.select("market_id", "at", after.alias("factor")).sort("at")


def _read(source: str, dataset: Dataset, file: Path) -> pl.DataFrame:
    import polars as pl

    table = open_table(file).collect()
    lower = {name.lower(): name for name in reversed(table.columns)}
    found = {role: next((lower[one] for one in names if one in lower), None) for role, names in _NAMES.items()}
    missing = [role for role, name in found.items() if name is None]
    if missing:
        raise BadInput(
            f"the table of splits has no column {missing[0]!r}; there are {', '.join(table.columns[1:])}",
            where=str(file),
            fix="give it the columns market, date and ratio, such as AAPL,2020-08-31,4:1",
        )
    rules = TimeRules(None, None, dataset.zone)
    at, broken = to_utc(table.get_column(str(found["date"])), rules, str(file))
    ratios = [_ratio(text) for text in table.get_column(str(found["ratio"])).cast(pl.String)]
    for row, (ratio, fault) in enumerate(zip(ratios, broken, strict=True)):
        if ratio is None or fault is not None:
            line = table.item(row, LINE)
            raise BadInput(
                fault or f"the ratio {table.item(row, str(found['ratio']))!r} is no split",
                where=f"{file}, {'line' if is_text(file) else 'row'} {line}",
                fix="write how many new shares one old share became: 4, 4:1, or 1:10 where ten became one",
            )
    market = pl.format("{}:{}", pl.lit(source), pl.col(str(found["market"])).cast(pl.String).str.strip_chars())
    return table.select(market.alias("market_id"), pl.lit(at).alias("at"), pl.Series("ratio", ratios, dtype=pl.Float64))


def _ratio(text: str | None) -> float | None:
    match = None if text is None else _RATIO.fullmatch(text)
    if match is None:
        return None
    above, below = float(match[1]), float(match[2] or 1)
    return above / below if above > 0 and below > 0 else None


def adjusted(frame: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Rows of a batch in their order, prices divided and sizes multiplied by the splits that came after them."""
    import polars as pl

    time = "ts" if "ts" in frame.columns else "start"
    factors = (
        frame.select("market_id", time)
        .with_row_index("_row")
        .sort(time)
        .join_asof(splits, left_on=time, right_on="at", by="market_id", strategy="forward", allow_exact_matches=False)
        .sort("_row")
        .get_column("factor")
        .fill_null(1.0)
    )
    if (factors == 1).all():
        return frame
    prices = [pl.col(name) / pl.lit(factors) for name in ALL_PRICES if name in frame.columns]
    sizes = [pl.col(name) * pl.lit(factors) for name in ("volume", "size") if name in frame.columns]
    return frame.with_columns(*prices, *sizes)
