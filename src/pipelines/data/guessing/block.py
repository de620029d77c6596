"""Datasets as text for agent.toml, with the rows as understood and what is not certain as comments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.data.guessing.guess import Guess, Guesses

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 10  # files that were passed over


def toml_text(found: Guesses) -> str:
    """The `[[sources.files.datasets]]` of some guesses, ready to stand in agent.toml."""
    parts = ["\n".join(_block(one)) for one in found.datasets]
    parts += [f"# passed over: {path}: {why}" for path, why in found.passed_over[:_SHOWN]]
    if len(found.passed_over) > _SHOWN:
        parts.append(f"# passed over: {len(found.passed_over) - _SHOWN} more files")
    return "\n\n".join(parts)


def _block(one: Guess) -> Iterable[str]:
    files = "1 file" if len(one.files) == 1 else f"{len(one.files)} files"
    yield f"# {files}, such as {one.files[0].name}"
    if one.rows is not None:
        yield from (f"#   {line}" for line in _rows(one.rows))
    yield from (f"# unsure: {text}" for text in dict.fromkeys(one.unsure))
    yield "[[sources.files.datasets]]"
    tables = {name: value for name, value in one.settings.items() if name == "markets"}
    yield from (f"{name} = {_value(value)}" for name, value in one.settings.items() if name not in tables)
    for name, table in tables.items():
        yield f"[sources.files.datasets.{name}]"
        yield from (f"{inner} = {_value(value)}" for inner, value in table.items())


def _rows(rows: pl.DataFrame) -> Iterable[str]:
    """Rows in words: columns that are empty in all of them are left out."""
    names = [name for name in rows.columns if rows.get_column(name).null_count() < rows.height]
    if not names:
        yield "no rows"
    for row in rows.select(names).iter_rows(named=True):
        yield "  ".join(f"{name}={_shown(value)}" for name, value in row.items())


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if hasattr(value, "strftime") else str(value)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)
