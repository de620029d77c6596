"""What JSON columns hold, as text that both databases take, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from agent.amounts import plain
from agent.errors import DatabaseError


def to_json(value: Any) -> str:
    """A value as JSON that both databases take: NaN and infinities, which JSON has not, become null; amounts
    become text in plain notation."""
    try:
        return _encode(value)
    except ValueError:
        return _encode(_without_nan(value))


def _as_text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


_encode = json.JSONEncoder(default=_as_text, allow_nan=False).encode


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def reader_of_json(where: str) -> Callable[[str], Any]:
    """PostgreSQL refuses what is no JSON when it is written; SQLite takes it, and whoever reads the row meets it."""

    def read(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise DatabaseError(
                f"a column for JSON holds none: {text[:80]!r} ({error})",
                where=where,
                fix="look for this text in the database's tables, and write JSON there; or restore a backup",
            ) from error

    return read
