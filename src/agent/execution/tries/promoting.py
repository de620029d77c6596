"""Promoting a try: its settings become the project's, in one step; the next run finds every result."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from agent.execution.tries import change
from agent.execution.tries.code import code_of, differing
from agent.settings import SETTINGS_FILE, Settings
from agent.store.outputs.tries import Try
from pipelines.project import named_modules
from pipelines.settings import read_toml


def difference(base: Path, one: Try) -> tuple[str, str]:
    """agent.toml as it is to be, and how that differs from what it is, line by line. Raises UsageError."""
    file = base / SETTINGS_FILE
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    after = change.written(before, one.settings)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), SETTINGS_FILE, SETTINGS_FILE, lineterm="")
    return after, "\n".join(lines)


def code_to_commit(settings: Settings, one: Try) -> tuple[str | None, list[str]]:
    """Where the code of a try comes from, and the files that the project has otherwise. Raises UsageError where it is
    there no more."""
    code = code_of(settings.base, one, settings.home)
    if code is None:
        return None, []
    return code.commit or code.given, differing(code, settings.base, named_modules(read_toml(settings.file)))


def commit_text(code: str | None, files: list[str]) -> str:
    """What a person does to have that code in the project."""
    if code is None:
        return ""
    if not files:
        return "Its code is the project's."
    paths = " ".join(map(shlex.quote, files))
    if Path(code).is_absolute():
        return f"Then copy its code from {code} and commit it: {paths}"
    return f"Then bring its code and commit it: git checkout {code} -- {paths}"
