"""Hashes of the columns of a table: over its values, not over the bytes of a file."""

from __future__ import annotations

import hashlib
import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.parallel import MANY_ROWS, in_threads

if TYPE_CHECKING:
    import polars as pl

_IS_NULL = " is null"  # ends the name of a mask: no column is called so
_FEW_TEXTS = 64


def column_hashes(frame: pl.DataFrame) -> dict[str, str]:
    """Column -> hash of its logical values and type: equal for equal data, however it is chunked in memory or on disk.

    NaN has many bit patterns and zero has two; each is folded into one. Null differs from every value. All columns are
    brought into that form by one query, since a query costs more than the hashing of a small table.
    """
    import polars as pl

    schema = frame.schema
    texts = {
        name for name, kind in schema.items() if not (kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean)
    }
    nulls = {name: frame.get_column(name).null_count() for name in frame.columns}
    empty = {name for name in frame.columns if nulls[name] == frame.height and name not in texts}
    nullable = [name for name in frame.columns if nulls[name] and name not in texts and name not in empty]
    values = [
        _as_text(name, schema[name]) if name in texts else _folded(name, schema[name])
        for name in frame.columns
        if name not in empty
    ]
    masks = [pl.col(name).is_null().alias(f"{name}{_IS_NULL}") for name in nullable]
    table = frame.select(*values, *masks)

    def hashed(name: str) -> str:
        kind = schema[name]
        if name in empty:
            return _hash_of_nothing(kind, frame.height)
        hasher = hashlib.blake2b(f"{kind!s}:{frame.height}:".encode(), digest_size=16)
        if name in texts:
            _add_text(hasher, table.get_column(name))
        else:
            if name in nullable:
                hasher.update(table.get_column(f"{name}{_IS_NULL}").to_numpy().data)
            numbers = table.get_column(name).to_numpy()
            if kind.is_float():
                numbers = numbers + numbers.dtype.type(0)  # -0.0 + 0.0 is 0.0
            hasher.update(numbers.data)
        return hasher.hexdigest()

    workers = None if frame.height >= MANY_ROWS else 1
    return dict(zip(frame.columns, in_threads(hashed, frame.columns, workers=workers), strict=True))


@lru_cache(maxsize=64)
def _hash_of_nothing(kind: pl.DataType, height: int) -> str:
    """What a column without a single value gives, without a query: many sources have no quotes, of eight columns."""
    import polars as pl

    width = pl.Series(dtype=kind).to_physical().to_numpy().itemsize
    hasher = hashlib.blake2b(f"{kind}:{height}:".encode(), digest_size=16)
    hasher.update(b"\x01" * height)
    hasher.update(bytes(height * width))
    return hasher.hexdigest()


def _folded(name: str, kind: pl.DataType) -> pl.Expr:
    import polars as pl

    value = pl.col(name).to_physical()
    if kind.is_float():
        value = value.fill_nan(float("nan"))
    return value.fill_null(False if kind == pl.Boolean else 0).alias(name)


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    import polars as pl

    if kind == pl.String:
        return pl.col(name)
    if kind == pl.Binary:
        return pl.col(name).bin.encode("hex")
    if kind.is_nested():
        return pl.struct(pl.col(name).alias("")).struct.json_encode().alias(name)
    return pl.col(name).cast(pl.String)


def _add_text(hasher: Any, texts: pl.Series) -> None:
    """Runs of equal texts: a column of market ids, sorted as it is, has few."""
    if len(texts) <= _FEW_TEXTS:
        _add_few_texts(hasher, texts.to_list())
        return
    runs = texts.rle().struct.unnest()
    values = runs.get_column("value")
    hasher.update(runs.get_column("len").to_numpy().data)
    hasher.update(values.is_null().to_numpy().data)
    hasher.update(values.str.len_bytes().fill_null(0).to_numpy().data)
    hasher.update((values.str.join("").item() or "").encode() if len(values) else b"")


def _add_few_texts(hasher: Any, texts: list[str | None]) -> None:
    """The same bytes as of many, without a query: each costs a tenth of a millisecond, however short the column."""
    import numpy as np

    runs = [(text, sum(1 for _ in group)) for text, group in itertools.groupby(texts)]
    hasher.update(np.array([count for _, count in runs], dtype=np.uint32).data)
    hasher.update(np.array([text is None for text, _ in runs], dtype=np.bool_).data)
    hasher.update(np.array([len((text or "").encode()) for text, _ in runs], dtype=np.uint32).data)
    hasher.update("".join(text or "" for text, _ in runs).encode())
