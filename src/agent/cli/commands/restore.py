"""`agent restore FILE`: bring back what `agent backup` wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.cli.output import emit, size_text
from agent.execution.upkeep.backup import restore_backup

HELP = "Bring back a backup, onto SQLite or PostgreSQL; refused where a hash does not match."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="what `agent backup` wrote")
    parser.add_argument("--force", action="store_true", help="replace the state that is there already")


def run(options: argparse.Namespace) -> int:
    """Restore it."""
    done = restore_backup(options.file, options.project_dir, force=options.force)
    text = f"restored {done.rows:,} rows of {done.tables} tables and {done.files:,} files ({size_text(done.bytes)})"
    emit(options, done, f"{text}\nnext: agent plan")
    return 0
