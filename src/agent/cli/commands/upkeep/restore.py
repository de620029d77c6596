"""`agent restore FILE`: bring back what `agent backup` wrote."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent.cli.output import emit, size_text
from agent.console import visible
from agent.core.ownership import Finding
from agent.errors import UsageError
from agent.execution.upkeep.backup import restore_backup
from agent.service.trust import finding_about

HELP = "Bring back a backup, onto SQLite or PostgreSQL; refused where a hash does not match."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="what `agent backup` wrote")
    parser.add_argument("--force", action="store_true", help="replace the state that is there already")
    parser.add_argument("--trust", action="store_true", help="restore a file that another user could have written")


def run(options: argparse.Namespace) -> int:
    """Restore it. A backup holds models, which are code: one that another user could have written is asked about."""
    found = finding_about(options.file)
    if found is not None and not options.trust and not _is_meant(found):
        raise UsageError(
            f"another user could have written this backup, and its models are code: {found.path} {found.reason}",
            where=str(options.file),
            fix="say --trust if you know where it comes from; nothing was changed",
        )
    done = restore_backup(options.file, options.project_dir, force=options.force)
    text = f"restored {done.rows:,} rows of {done.tables} tables and {done.files:,} files ({size_text(done.bytes)})"
    emit(options, done, f"{text}\nnext: agent plan")
    return 0


def _is_meant(found: Finding) -> bool:
    """Ask whoever sits at the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{visible(found.path)} {found.reason}: its models are code that would run as you.", file=sys.stderr)
    return input("Restore it all the same? Type yes: ").strip().lower() == "yes"
