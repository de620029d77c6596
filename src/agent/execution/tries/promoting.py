"""Promoting a try: its settings become the project's, in one step; the next run finds every result."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path

from agent.execution.tries import change
from agent.settings import SETTINGS_FILE
from agent.store.outputs.tries import Try
from pipelines.lake import fsync_folder


def difference(base: Path, one: Try) -> tuple[str, str]:
    """agent.toml as it is to be, and how that differs from what it is, line by line. Raises UsageError."""
    file = base / SETTINGS_FILE
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    after = change.written(before, one.settings)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), SETTINGS_FILE, SETTINGS_FILE, lineterm="")
    return after, "\n".join(lines)


def write(base: Path, text: str) -> None:
    """Put agent.toml in place, flushed to disk: whoever reads it meanwhile sees the one or the other."""
    file = base / SETTINGS_FILE
    draft = file.with_name(f".{SETTINGS_FILE}.{os.getpid()}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        if file.is_file():
            draft.chmod(file.stat().st_mode & 0o7777)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        sys.audit("tidemill.point", "promotion.drafted")
        draft.replace(file)
        sys.audit("tidemill.point", "promotion.moved")
        fsync_folder(base)
    finally:
        draft.unlink(missing_ok=True)
