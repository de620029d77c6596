"""Changes one line of agent.toml, and leaves every other one as its author wrote it."""

from __future__ import annotations

import re
import tempfile
import tomllib
from pathlib import Path

from agent.errors import Conflict
from pipelines.errors import SettingsError


def with_line(text: str, section: str, key: str, value: str) -> str:
    """The text of agent.toml with `key = "value"` in `[section]`: in place of what it says now, or as a new line.

    Raises SettingsError where the text is no TOML, or is written in a way that a line cannot change: a dotted key, a
    table within a line.
    """
    line, lines = f'{key} = "{value}"', text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    here = next((n for n, one in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(section)}\s*\]", one)), None)
    if here is None:
        made = "".join([*lines, f"\n[{section}]\n{line}\n"])
    else:
        end = next((n for n in range(here + 1, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
        old = next((n for n in range(here + 1, end) if re.match(rf"\s*{re.escape(key)}\s*=", lines[n])), None)
        # What stands behind the value on its line stays.
        rest = "" if old is None else _comment(lines[old])
        lines[here + 1 if old is None else old : here + 1 if old is None else old + 1] = [f"{line}{rest}\n"]
        made = "".join(lines)
    _check(text, made, section, key, value)
    return made


def write_line(file: Path, section: str, key: str, value: str) -> None:
    """Change the line in `file`, all at once; its permissions stay.

    Raises SettingsError as with_line, Conflict where the file cannot be written.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    made = with_line(text, section, key, value)
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, prefix=".agent.toml-", delete=False
        ) as new:
            new.write(made)
        if file.exists():
            Path(new.name).chmod(file.stat().st_mode)
        Path(new.name).replace(file)
    except OSError as error:
        raise Conflict(
            f"{file.name} cannot be written: {error.strerror}",
            where=str(file),
            fix=f'write {key} = "{value}" under [{section}] by hand',
        ) from error


def _comment(line: str) -> str:
    found = re.search(r"""^[^#"']*(?:"[^"]*"|'[^']*')?\s*(#.*)$""", line.rstrip("\n"))
    return f"  {found[1]}" if found else ""


def _check(text: str, made: str, section: str, key: str, value: str) -> None:
    """Nothing but the one setting may read otherwise than before."""
    by_hand = f'write {key} = "{value}" under [{section}] by hand'
    try:
        before, after = tomllib.loads(text), tomllib.loads(made)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            "agent.toml cannot be changed by a button", where=f"agent.toml: {error}", fix=by_hand
        ) from error
    wanted = {**before, section: {**before.get(section, {}), key: value}}
    if after != wanted:
        raise SettingsError("agent.toml cannot be changed by a button", where=f"[{section}]", fix=by_hand)
