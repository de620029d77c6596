"""One file as a table, and how it has to be opened for that: separator, header, place of the records."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data.file_tables.read import LINE, is_text_table, open_table, text_head
from pipelines.data.file_tables.texts import TextRules
from pipelines.data.guessing.words import folded, roles_of
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_SEPARATORS = (",", ";", "\t", "|", " ")
_ROWS = 200_000  # of a table, looked at
_NUMBER = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?")
_GROUPED = re.compile(r"[-+]?\d{1,3}([.,])\d{3}(?:\1\d{3})*")


@dataclass(frozen=True)
class Look:
    """A file's table (text stays text) and the settings that opening it takes."""

    file: Path
    table: pl.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Its columns, in order."""
        return [name for name in self.table.columns if name != LINE]


def look_at(file: Path) -> Look:
    """Open a file. Raises BadInput where it cannot be read at all."""
    settings: dict[str, Any] = {}
    if is_text_table(file):
        lines = text_head(file)
        usual = "\t" if ".tsv" in file.suffixes else ","
        separator = _separator(lines, usual)
        if separator != usual:
            settings["separator"] = separator
        if not _has_header(lines[0].split(separator)):
            settings["header"] = False
        table = open_table(file, None, TextRules(separator, settings.get("header", True)))
    else:
        table = open_table(file)
        names = [name for name in table.collect_schema().names() if name != LINE]
        if names and all(name.startswith("column_") for name in names):
            settings["header"] = False
    found = table.head(_ROWS).collect()
    records = _records(found)
    if records is not None:
        settings["records"] = records
        found = open_table(file, records).head(_ROWS).collect()
    return Look(file, found, settings)


def _separator(lines: list[str], usual: str) -> str:
    """What stands between columns: the sign of which every line has the same number, the more the better."""
    best, most = usual, 0
    for separator in _SEPARATORS:
        counts = Counter(line.count(separator) for line in lines)
        number, times = counts.most_common(1)[0]
        if number > most and times >= 0.8 * len(lines):
            best, most = separator, number
    return best


def _has_header(cells: list[str]) -> bool:
    """Whether a first line has names: none of its cells is a number or a time."""
    return not any(_NUMBER.fullmatch(cell.strip().strip('"')) or _is_time(cell) for cell in cells if cell.strip())


def _is_time(cell: str) -> bool:
    return re.match(r'"?\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}', cell.strip()) is not None


def _records(table: pl.DataFrame) -> str | None:
    """Where the records with a price are inside nested lines of JSON; None where rows are records themselves."""
    import polars as pl

    if "price" in roles_of(table.columns) or "open" in roles_of(table.columns):
        return None
    waiting: list[tuple[str, Any]] = list(table.schema.items())
    found = []
    while waiting:
        path, kind = waiting.pop(0)
        if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct):
            path, kind = f"{path}[]", kind.inner
            names = [one.name for one in kind.fields]
            if {"price", "open"} & roles_of(names).keys():
                found.append(path)
        if isinstance(kind, pl.Struct):
            waiting += [(f"{path}.{one.name}", one.dtype) for one in kind.fields]
    return max(found, key=lambda path: path.count("[]"), default=None)


def numbers_of(table: pl.DataFrame, names: list[str]) -> dict[str, Any]:
    """How numbers in columns of text are written: settings decimal and thousands; empty where as usual."""
    import polars as pl

    text = [name for name in names if table.schema[name] == pl.String]
    cells = [cell.strip() for name in text for cell in table.get_column(name).drop_nulls().head(500)]
    with_both = [cell for cell in cells if "," in cell and "." in cell]
    if with_both:
        last = Counter("," if cell.rfind(",") > cell.rfind(".") else "." for cell in with_both).most_common(1)[0][0]
        return {"decimal": ",", "thousands": "."} if last == "," else {"thousands": ","}
    with_comma = [cell for cell in cells if "," in cell]
    if not with_comma:
        return {}
    if all(_GROUPED.fullmatch(cell) for cell in with_comma) and any("," not in cell for cell in cells):
        return {"thousands": ","}
    return {"decimal": ","}


def as_numbers(table: pl.DataFrame, name: str, rules: dict[str, Any]) -> pl.Series:
    """A column as numbers, null where it holds something else."""
    import polars as pl

    column = table.get_column(name)
    if isinstance(column.dtype, pl.List):
        column = column.list.get(0, null_on_oob=True)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        if "thousands" in rules:
            column = column.str.replace_all(rules["thousands"], "", literal=True)
        if rules.get("decimal") == ",":
            column = column.str.replace_all(",", ".", literal=True)
    return column.cast(pl.Float64, strict=False)


def is_fitting(table: pl.DataFrame, name: str, rules: dict[str, Any]) -> bool:
    """Whether a column holds numbers wherever it holds something."""
    import polars as pl

    given = table.get_column(name)
    if not (given.dtype.is_numeric() or given.dtype == pl.String):
        return False
    there = given.is_not_null()
    if given.dtype == pl.String:
        there &= given.str.strip_chars() != ""
    return bool((as_numbers(table, name, rules).is_not_null() | ~there).all())


def is_like(name: str, words: tuple[str, ...]) -> bool:
    """Whether a column is called one of `words`."""
    return folded(name) in words
