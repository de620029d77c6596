"""The numbers of a file's rows as the batch has them: read as the settings say, scaled, mids and odds worked out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.file_tables.raw import PRICES, QUOTES
from pipelines.data.file_tables.read import LINE
from pipelines.data.file_tables.settings import Dataset
from pipelines.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

ALL_PRICES = ("price", "bid", "ask", *PRICES, *QUOTES)
_SIDES = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}
_NO_SIDE = ("", "none", "null", "unknown")
_YES, _NO = ("true", "1", "t", "yes"), ("false", "0", "f", "no")


def values_of(dataset: Dataset, raw: pl.DataFrame, file: Path) -> tuple[dict[str, pl.Expr], list[tuple[pl.Expr, str]]]:
    """The batch's columns but market and time; and for what of them could not be understood, when that is so and the
    rule it breaks."""
    import polars as pl

    values: dict[str, pl.Expr] = {}
    faults: list[tuple[pl.Expr, str]] = []
    for role in raw.columns:
        if role in (LINE, "ts", "market"):
            continue
        if role == "side":
            word = pl.col(role).cast(pl.String).str.strip_chars().str.to_lowercase()
            values[role] = pl.when(~word.is_in(_NO_SIDE)).then(word.replace(_SIDES))
            continue
        if role == "is_buyer_maker":
            word = pl.col(role).cast(pl.String).str.strip_chars().str.to_lowercase()
            # The side is the taker's: where the buyer's order had been waiting, the taker sold.
            values.setdefault(
                "side", pl.when(word.is_in(_YES)).then(pl.lit("sell")).when(word.is_in(_NO)).then(pl.lit("buy"))
            )
            faults.append((~word.is_in((*_YES, *_NO, *_NO_SIDE)), "is_buyer_maker is neither true nor false"))
            continue
        target = "seq" if role == "id" else role
        values[target] = number_in(raw, role, file, dataset)
        text = "trade id is not a whole number" if role == "id" else f"{role} is not a number"
        if not raw.schema[role].is_numeric() or role == "id":  # a number may be a number
            faults.append((pl.col(role).is_not_null() & values[target].is_null(), text))
    if dataset.content == "quotes":
        values["price"] = (values["bid"] + values["ask"]) / 2
    if dataset.content == "bars" and "open" not in values:
        for name in PRICES:
            values[name] = (values[f"bid_{name}"] + values[f"ask_{name}"]) / 2
    if "adjusted" in values:
        values |= _adjusted(values)
    if dataset.price_factor != 1:
        values |= {name: values[name] * dataset.price_factor for name in ALL_PRICES if name in values}
    if dataset.price_is == "decimal_odds":
        odds = values["price"]
        values["price"] = pl.when(odds > 0).then(1 / odds).otherwise(odds)
    return values, faults


def number_in(raw: pl.DataFrame, role: str, file: Path, dataset: Dataset) -> pl.Expr:
    """A column as numbers, null where it holds something else; an empty text is nothing at all."""
    import polars as pl

    kind = raw.schema[role]
    if not (kind.is_numeric() or kind in (pl.String, pl.Null)):
        raise BadInput(
            f"the column for {role} holds {kind}, not numbers",
            where=str(file),
            fix=f"map {role} to a column of numbers; a position in a list is written name[0]",
        )
    value = pl.col(role)
    if kind == pl.String:
        value = value.str.strip_chars()
        if dataset.thousands is not None:
            value = value.str.replace_all(dataset.thousands, "", literal=True)
        if dataset.decimal != ".":
            value = value.str.replace_all(dataset.decimal, ".", literal=True)
    return value.cast(pl.Int64 if role == "id" else pl.Float64, strict=False)


def _adjusted(values: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    """A bar's prices scaled so that its close is the adjusted one; its volume stays."""
    import polars as pl

    close, adjusted = values["close"], values["adjusted"]
    # A price that equals the close stays equal to it, whatever the rounding.
    scaled = {
        name: pl.when(values[name] == close).then(adjusted).otherwise(values[name] * (adjusted / close))
        for name in (*PRICES, *QUOTES)
        if name in values and name != "close"
    }
    return {**scaled, "close": pl.when(close.is_not_null()).then(adjusted)}
