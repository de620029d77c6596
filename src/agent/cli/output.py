"""What commands share: a result printed as text or as JSON, times as people read them."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import json
import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.amounts import plain as amount_text
from agent.console import visible


def emit(options: argparse.Namespace, value: Any, text: str) -> None:
    """Print `value` as JSON where --json was given, else `text`."""
    print(visible(json.dumps(plain(value), ensure_ascii=False, indent=1) if options.json else text))


def emit_rows(rows: Iterable[Any]) -> None:
    """Print `rows` as one JSON array, each as it comes."""
    first = True
    for row in rows:
        print("[" if first else ",")
        print(visible(textwrap.indent(json.dumps(plain(row), ensure_ascii=False, indent=1), " ")), end="")
        first = False
    print("[]" if first else "\n]")


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses as objects, times in ISO 8601, amounts and paths as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return amount_text(value)
    return str(value) if isinstance(value, Path) else value


def moment(value: datetime | None) -> str:
    """An instant to the second, UTC; a dash where there is none."""
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def size_text(count: int) -> str:
    """A number of bytes as people read it."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def user_name() -> str:
    """The person at the keyboard, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return "an unnamed user"
