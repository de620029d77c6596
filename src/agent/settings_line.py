"""Changes agent.toml by the line, and leaves every other one as its author wrote it; puts the file in place at once."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from agent.errors import Conflict
from pipelines.errors import SettingsError
from pipelines.lake import fsync_folder


def put(text: str, table: str, key: str, value: str, *, keeps_comment: bool = False) -> str:
    """The text of agent.toml with `key = value` (as TOML) in `[table]`: in place of what it says now, or as a new line.
    Whether that came out right is the caller's to check: see `with_line`. keeps_comment: of the line that is replaced,
    which may be about the former value."""
    line, lines = f"{key} = {value}", text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    here = next((n for n, one in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", one)), None)
    if here is None:
        return "".join([*lines, "\n" if lines else "", f"[{table}]\n{line}\n"])
    end = next((n for n in range(here + 1, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
    old = next((n for n in range(here + 1, end) if re.match(rf"\s*{re.escape(key)}\s*=", lines[n])), None)
    if old is None:
        lines.insert(here + 1, f"{line}\n")
    else:
        lines[old] = f"{line}{_comment(lines[old]) if keeps_comment else ''}\n"
    return "".join(lines)


def toml(value: Any) -> str:
    """A text, a number, a truth value, or a list of such, as TOML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def with_line(text: str, section: str, key: str, value: Any) -> str:
    """The text of agent.toml with `key = value` in `[section]`.

    Raises SettingsError where the text is no TOML, or is written in a way that a line cannot change: a dotted key, a
    table within a line.
    """
    made = put(text, section, key, toml(value), keeps_comment=True)
    _check(text, made, section, key, value)
    return made


def write_line(file: Path, section: str, key: str, value: Any) -> None:
    """Change the line in `file`, all at once.

    Raises SettingsError as with_line, Conflict where the file cannot be written.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    made = with_line(text, section, key, value)
    try:
        replace_file(file, made)
    except OSError as error:
        raise Conflict(
            f"{file.name} cannot be written: {error.strerror}",
            where=str(file),
            fix=f"write {key} = {toml(value)} under [{section}] by hand",
        ) from error


def replace_file(file: Path, text: str) -> None:
    """Put agent.toml in place, flushed to disk: whoever reads it meanwhile sees the one or the other. Its permissions
    stay. Raises OSError; the file is then as it was."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        if file.is_file():
            draft.chmod(file.stat().st_mode & 0o7777)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        sys.audit("tidemill.point", "settings.drafted")
        draft.replace(file)
        sys.audit("tidemill.point", "settings.moved")
        fsync_folder(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _comment(line: str) -> str:
    found = re.match(r"""(?:[^#"']|"(?:[^"\\]|\\.)*"|'[^']*')*(#.*)$""", line.rstrip("\n"))
    return f"  {found[1]}" if found else ""


def _check(text: str, made: str, section: str, key: str, value: Any) -> None:
    """Nothing but the one setting may read otherwise than before."""
    by_hand = f"write {key} = {toml(value)} under [{section}] by hand"
    try:
        before, after = tomllib.loads(text), tomllib.loads(made)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            "agent.toml cannot be changed by a button", where=f"agent.toml: {error}", fix=by_hand
        ) from error
    wanted = {**before, section: {**before.get(section, {}), key: value}}
    if after != wanted:
        raise SettingsError("agent.toml cannot be changed by a button", where=f"[{section}]", fix=by_hand)
