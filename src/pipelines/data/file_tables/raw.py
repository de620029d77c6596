"""The columns of a file that a dataset needs, named by what they are, values as they stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.file_tables.read import (
    LINE,
    column,
    is_panic,
    name_from_file,
    only_where,
    open_table,
    template,
    unreadable,
)
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.file_tables.times import since_midnight
from pipelines.errors import BadInput
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

PRICES = ("open", "high", "low", "close")
QUOTES = tuple(f"{side}_{price}" for side in ("bid", "ask") for price in PRICES)
# What a column is called where the settings do not say; upper and lower case are the same.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "datetime", "date", "time", "t"),
    "market": ("market", "market_id", "symbol", "ticker", "pair", "name"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
    "price": ("price", "last", "p"),
    "size": ("size", "amount", "quantity", "qty", "volume"),
    "side": ("side",),
    "is_buyer_maker": ("is_buyer_maker", "isbuyermaker", "buyer_is_maker"),
    "id": ("id", "trade_id", "tid"),
    "bid": ("bid", "bid_price"),
    "ask": ("ask", "ask_price"),
}


def role_columns(dataset: Dataset, names: Sequence[str]) -> dict[str, str]:
    """What each role is called in a file with columns `names`: as the settings say, else by a usual name."""
    lower = {name.lower(): name for name in reversed(names)}
    found = {name: name for name in QUOTES if name in names}
    for role, usual in _USUAL.items():
        match = next((lower[name] for name in usual if name in lower), None)
        if match is not None:
            found[role] = match
    said = dict(dataset.columns or {})
    if dataset.adjusted_close is not None:
        said["adjusted"] = dataset.adjusted_close
    return {role: name for role, name in (found | said).items() if name}


def market_name(dataset: Dataset, file: Path, names: Sequence[str]) -> pl.Expr | str:
    """The market of a file's rows: one name, or a column of names."""
    if dataset.only_market is not None:
        return dataset.only_market
    if dataset.market_pattern is None:
        roles = role_columns(dataset, names)
        if "market" in roles:
            return template(file, names, roles["market"])
    return name_from_file(dataset, file)


@dataclass(frozen=True)
class RawFile:
    """The columns of a file that count, named by their role, and when the file was written."""

    part: str
    file: Path
    table: pl.DataFrame
    written_at: datetime
    read: int  # rows of the file, those that were left out too


def read_raw(dataset: Dataset, part: str, file: Path) -> RawFile:
    """The columns of `file` that count, and when it was written. Raises BadInput where it cannot be read."""
    # The time first: what is written while the file is read is found by another time in the next run.
    written_at = changed_at(file)
    table, read = _raw(dataset, file)
    return RawFile(part, file, table, written_at, read)


def changed_at(file: Path) -> datetime:
    """When a file was last written. Raises BadInput."""
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise unreadable(file, error) from error


def _raw(dataset: Dataset, file: Path) -> tuple[pl.DataFrame, int]:
    """The columns of a file that the dataset needs, named by their role, values as they are; and how many rows the file
    has, since those that the dataset does not want are left out."""
    import polars as pl

    table = open_table(file, dataset.records, dataset.text_rules)
    try:
        names = [name for name in table.collect_schema().names() if name != LINE]
        market = market_name(dataset, file, names)
        needed = columns_of(dataset, file, names)
        needed["market"] = pl.lit(market) if isinstance(market, str) else market
        wanted = only_where(table, dataset.where, file)
        raw = wanted.select(LINE, *(value.alias(role) for role, value in needed.items())).collect()
        # Columns in pieces of different lengths, and an empty one after a filter: pl.format gives up (Polars 2.1).
        raw = raw.rechunk()
        read = raw.height if dataset.where is None else table.select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(file, error) from error
    except BaseException as error:
        if is_panic(error):
            raise unreadable(file, error) from error
        raise
    if dataset.day_pattern is not None:
        raw = raw.with_columns(ts_of_day(dataset, file, raw.get_column("ts")))
    if dataset.content == "quotes":
        raw = raw.filter(pl.col("bid").is_not_null() & pl.col("ask").is_not_null())
    elif dataset.content == "trades" and dataset.records is not None:
        raw = raw.drop_nulls("price")
    return raw, read


def columns_of(dataset: Dataset, file: Path, names: Sequence[str]) -> dict[str, pl.Expr]:
    """The columns that count, but the market's: role -> column. Raises BadInput for one that is missing."""
    roles = role_columns(dataset, names)
    return {role: _selected(file, names, roles.get(role, role)) for role in _needed(dataset, roles)}


def ts_of_day(dataset: Dataset, file: Path, raw: pl.Series) -> pl.Series:
    """What clocks showed, where times count from the day in the file's name. Raises BadInput where it has none."""
    match = re.search(str(dataset.day_pattern), file.name) or re.search(str(dataset.day_pattern), file.as_posix())
    try:
        day = date.fromisoformat(re.sub(r"\D", "", "" if match is None else match["day"]))
    except ValueError as error:
        raise BadInput(
            f"day_pattern {dataset.day_pattern!r} finds no day in the file's name",
            where=str(file),
            fix="correct the pattern, or narrow the path so that it leaves this file out",
        ) from error
    return since_midnight(raw, str(dataset.ts_unit), day)


def _selected(file: Path, names: Sequence[str], selector: str) -> pl.Expr:
    """A column, or a text made of several: "{date} {time}"."""
    return template(file, names, selector) if "{" in selector else column(file, names, selector)


def _needed(dataset: Dataset, roles: Mapping[str, str]) -> list[str]:
    """The roles to read: those that the content cannot do without, and the optional ones that the file has."""
    if dataset.content == "quotes":
        required, optional = ["ts", "bid", "ask"], ["id"]
    elif dataset.content == "trades":
        required, optional = ["ts", "price"], ["size", "side", "is_buyer_maker", "id", "bid", "ask"]
    else:
        has_quotes = all(name in roles for name in QUOTES)
        only_quotes = has_quotes and "open" not in roles
        required = ["ts", *([] if only_quotes else PRICES), *(QUOTES if has_quotes else [])]
        required += [] if dataset.adjusted_close is None else ["adjusted"]
        optional = ["volume"]
    return required + [role for role in optional if role in roles]
