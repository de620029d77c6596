"""What a try sets otherwise, as sections of agent.toml: read from a command, put over a file, written into it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent.errors import UsageError
from agent.settings_line import put, toml
from agent.settings_typed import is_key, overlapping, value_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,-]{0,99}")


def read(given: Sequence[str]) -> dict[str, Any]:
    """The settings that `SECTION.KEY=VALUE` say: a value is TOML, or else a text. Raises UsageError."""
    values: dict[str, Any] = {}
    for one in given:
        key, equals, text = one.partition("=")
        key = key.strip()
        if not equals or not is_key(key):
            raise UsageError(
                f"{one!r} sets nothing", where="--set", fix="write SECTION.KEY=VALUE: inference.margin=0.03"
            )
        twice = overlapping(key, values)
        if twice is not None:
            raise UsageError(f"{key} is set twice, by {twice} as well", where="--set", fix="set it once")
        values[key] = value_of(text, f"--set {key}")
    return nested(values)


def over(values: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of `change` in their place, table by table."""
    found = dict(values)
    for key, new in change.items():
        old = found.get(key)
        found[key] = over(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new
    return found


def nested(flat_values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value, as sections of agent.toml."""
    found: dict[str, Any] = {}
    for key, value in flat_values.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        found = over(found, value)
    return found


def require_own(change: Mapping[str, Any], others: Collection[str]) -> None:
    """Raise UsageError where a change is of what is not a component's or a source's: tries share database and lake."""
    wrong = sorted(name for name in change if name in (*others, "project"))
    if wrong:
        raise UsageError(
            f"a try may not set [{wrong[0]}]",
            where="--set",
            fix="set what components and sources compute with; the rest is production's as well",
        )


def name_of(change: Mapping[str, Any]) -> str:
    """A name that says what is set; the same for the same change."""
    parts = [f"{key.rpartition('.')[2]}={value}" for key, value in flat(change).items()]
    return re.sub(r"[^A-Za-z0-9._=,-]+", "_", ",".join(parts)).strip("_.")[:100] or "as-it-is"


def require_name(name: str) -> str:
    """`name`, if it is one. Raises UsageError."""
    if not _NAME.fullmatch(name) or name == "current":
        raise UsageError(f"{name!r} is no name for a try", where="--name", fix="use letters, digits and . _ = , -")
    return name


def flat(change: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Dotted key -> value."""
    found: dict[str, Any] = {}
    for key, value in change.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def written(text: str, change: Mapping[str, Any]) -> str:
    """agent.toml, which says `text`, with `change` in it and all else as it is. Raises UsageError where that takes more
    than exchanging or adding lines."""
    made = text
    for key, value in flat(change).items():
        table, _, name = key.rpartition(".")
        made = put(made, table, name, toml(value))
    wanted = over(tomllib.loads(text), change)
    try:
        is_right = tomllib.loads(made) == wanted
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        shown = ", ".join(f"{key} = {toml(value)}" for key, value in flat(change).items())
        raise UsageError(
            "agent.toml is written in a way that is not safe to edit", where="agent.toml", fix=f"set {shown}"
        )
    return made
