"""Settings as they are typed in a command, `SECTION.KEY=VALUE`: values of TOML that JSON, and so the database, has."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from agent.errors import UsageError

_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def is_key(text: str) -> bool:
    """Whether it is SECTION.KEY."""
    return _KEY.fullmatch(text) is not None


def value_of(text: str, where: str) -> Any:
    """The value that `text` is in TOML, all of it; else, and of a date or time, the text itself. Raises UsageError for
    an infinite number and for one that is none."""
    text = text.strip()
    try:
        # In a list as well: that tells a value from one with a comment, or with further lines, behind it.
        alone, listed = tomllib.loads(f"value = {text}"), tomllib.loads(f"value = [{text}]")
    except (ValueError, RecursionError):
        return text
    value = plain(alone["value"], where)
    if alone.keys() != {"value"} or plain(listed, where) != {"value": [value]}:
        return text
    return text if _is_time(alone["value"]) else value


def plain(value: Any, where: str) -> Any:
    """A value of TOML as JSON has it: dates and times as texts. Raises UsageError for a number that is not finite."""
    if isinstance(value, Mapping):
        return {key: plain(one, where) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one, where) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{value} is no number to compute with", where=where, fix="write a finite number")
    return value.isoformat() if _is_time(value) else value


def overlapping(key: str, others: Collection[str]) -> str | None:
    """The first of `others` that sets the same as `key`, a table around it or something within it."""
    return next((one for one in others if f"{key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{key}.")), None)


def _is_time(value: Any) -> bool:
    return hasattr(value, "isoformat")
