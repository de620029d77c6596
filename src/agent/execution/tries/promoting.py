"""Promoting a try: its settings become the project's, in one step; the next run finds every result."""

from __future__ import annotations

import difflib
from pathlib import Path

from agent.execution.tries import change
from agent.settings import SETTINGS_FILE
from agent.store.outputs.tries import Try


def difference(base: Path, one: Try) -> tuple[str, str]:
    """agent.toml as it is to be, and how that differs from what it is, line by line. Raises UsageError."""
    file = base / SETTINGS_FILE
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    after = change.written(before, one.settings)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), SETTINGS_FILE, SETTINGS_FILE, lineterm="")
    return after, "\n".join(lines)
