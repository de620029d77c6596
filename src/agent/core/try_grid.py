"""A grid of tries: its axes, its cells, which of them are computed next, and the table that compares them. Pure."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from agent.core.release_diff import Figure, figure_cells, figures
from agent.errors import UsageError
from agent.settings_typed import is_key, overlapping, value_of
from pipelines.values import dataclass

_MOST = 1_000  # cells: more is a mistake in typing, or a search that wants another tool


@dataclass(frozen=True)
class Axis:
    """A setting by its dotted name, and the values that it is to have."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """A try of a grid. settings: dotted name -> value. status, error: of its newest run; None where it never had one.
    metrics: as it would publish them."""

    name: str
    settings: Mapping[str, Any]
    status: str | None = None
    metrics: Mapping[str, Any] | None = None
    seconds: float = 0.0
    rows: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of the table. is_number: aligned and sorted as one."""

    name: str
    is_number: bool


@dataclass(frozen=True)
class GridTable:
    """columns, and per cell its values: what people read, and what it is sorted by (None: last)."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[tuple[str, Any], ...], ...]

    def sorted_by(self, name: str, *, is_descending: bool = False) -> GridTable:
        """By a column, cells without a value last; as it is where there is no such column."""
        number = next((place for place, column in enumerate(self.columns) if column.name == name), None)
        if number is None:
            return self
        known = [row for row in self.rows if row[number][1] is not None]
        rest = tuple(row for row in self.rows if row[number][1] is None)
        known.sort(key=lambda row: _key(row[number][1]), reverse=is_descending)
        return GridTable(self.columns, (*known, *rest))


def read_axes(given: Sequence[str], fixed: Collection[str] = ()) -> tuple[Axis, ...]:
    """The axes that `SECTION.KEY=VALUE,VALUE,…` say; a value is TOML, or else a text. `fixed`: dotted names that all
    cells set. Raises UsageError."""
    axes: dict[str, Axis] = {}
    for one in given:
        key, equals, text = one.partition("=")
        key = key.strip()
        if not equals or not is_key(key) or not text.strip():
            raise UsageError(f"{_short(one)} is no axis", where="--grid", fix="write SECTION.KEY=VALUE,VALUE,…")
        twice = overlapping(key, axes)
        if twice is not None:
            raise UsageError(
                f"{key} is there twice, by {twice} as well" if twice != key else f"{key} is there twice",
                where="--grid",
                fix="put all its values into one --grid",
            )
        always = overlapping(key, fixed)
        if always is not None:
            raise UsageError(f"{key} is an axis, and --set sets {always}", where="--set", fix="leave one of them out")
        axes[key] = Axis(key, _values(key, text))
        _require_few(axes.values())
    return tuple(axes.values())


def cells_of(axes: Sequence[Axis], order: Sequence[str]) -> list[dict[str, Any]]:
    """Dotted name -> value, of each cell. `order`: components, what is read before what reads it: the settings of those
    that come first change least from cell to cell, so that most is found computed. Raises UsageError for too many."""
    rank = {name: number for number, name in enumerate(order)}
    sorted_axes = sorted(axes, key=lambda axis: rank.get(axis.key.partition(".")[0], -1))
    _require_few(axes)
    keys = [axis.key for axis in sorted_axes]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(one.values for one in sorted_axes))]


def to_compute(cells: Sequence[Cell], most: int | None) -> list[Cell]:
    """The cells to compute next, at most `most`: in their order, without those that are done or under way."""
    waiting = [cell for cell in cells if cell.status not in ("COMPLETED", "QUEUED", "RUNNING")]
    return waiting if most is None else waiting[:most]


def table_of(cells: Sequence[Cell], only: Collection[str] | None = None) -> GridTable:
    """Number and status of each cell, then the settings and figures that are not the same in all, then what it took.
    `only`: of the figures, these."""
    keys = list(dict.fromkeys(key for cell in cells for key in cell.settings))
    keys = [key for key in keys if len({json.dumps(cell.settings.get(key), default=str) for cell in cells}) > 1]
    found = [{one.name: one for one in figures({}, cell.metrics or {})} for cell in cells]
    names = [name for name in dict.fromkeys(name for one in found for name in one) if _differ(name, found)]
    names = [name for name in names if only is None or name in only]
    columns = [
        *(Column("cell", is_number=True), Column("status", is_number=False)),
        *(Column(key, is_number=all(_is_number(cell.settings.get(key)) for cell in cells)) for key in keys),
        *(Column(name, is_number=any(_is_number(one[name].after) for one in found if name in one)) for name in names),
        *(Column("seconds", is_number=True), Column("rows computed", is_number=True)),
    ]
    rows = [
        (
            *((f"{number}", number), (cell.status or "not begun", cell.status or "not begun")),
            *((_setting(cell.settings.get(key)), cell.settings.get(key)) for key in keys),
            *(_figure(one.get(name)) for name in names),
            *((f"{cell.seconds:.1f}", cell.seconds), (f"{cell.rows:,}", cell.rows)),
        )
        for number, (cell, one) in enumerate(zip(cells, found, strict=True), 1)
    ]
    return GridTable(tuple(columns), tuple(rows))


def _require_few(axes: Iterable[Axis]) -> None:
    count = math.prod(len(axis.values) for axis in axes)
    if count > _MOST:
        raise UsageError(f"that makes {count:,} cells, more than {_MOST:,}", where="--grid", fix="name fewer values")


def _values(key: str, text: str) -> tuple[Any, ...]:
    """The values of an axis, each once."""
    where = f"--grid {key}"
    if any(sign in text for sign in "\"'[]{}"):
        values = value_of(f"[{text}]", where)
        if not isinstance(values, list):
            raise UsageError(
                f"{_short(text)} is no list of values", where=where, fix='write all texts in quotes: KEY=\'"a,b","c"\''
            )
    else:
        count = text.count(",") + 1
        if count > _MOST:  # before there is a list of them
            raise UsageError(f"that makes {count:,} values, more than {_MOST:,}", where=where, fix="name fewer values")
        values = [value_of(one, where) for one in text.split(",")]
    if not values or "" in values:
        raise UsageError(f"{_short(text)} has an empty value", where=where, fix="write VALUE,VALUE,…")
    seen: set[str] = set()
    for value in values:
        code = json.dumps(_same(value), sort_keys=True)
        if code in seen:
            raise UsageError(f"{key} has the value {json.dumps(value)} twice", where=where, fix="name each value once")
        seen.add(code)
    return tuple(values)


def _same(value: Any) -> Any:
    """What is the same for 1 and 1.0, and not for true."""
    if isinstance(value, Mapping):
        return {key: _same(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_same(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(text: str) -> str:
    """As much of it as an error can show."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def _differ(name: str, found: Sequence[Mapping[str, Figure]]) -> bool:
    return len({_figure(one.get(name))[0] for one in found}) > 1


def _figure(one: Figure | None) -> tuple[str, Any]:
    return ("-", None) if one is None else (figure_cells(one)[2], one.after)


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: Any) -> tuple[int, Any]:
    """Numbers before texts, texts before the rest."""
    if _is_number(value) or isinstance(value, bool):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, str(value))
