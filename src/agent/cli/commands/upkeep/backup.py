"""`agent backup FILE`: state, catalog and every file it refers to, in one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.cli.output import emit, size_text
from agent.clock import SystemClock
from agent.execution.upkeep.backup import write_backup
from agent.execution.workspace import open_workspace

HELP = "Write state, catalog and the files they refer to into one tar file; runs may go on meanwhile."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="where to, such as backup.tar")


def run(options: argparse.Namespace) -> int:
    """Write the backup."""
    with open_workspace(options.project_dir) as workspace:
        done = write_backup(workspace, options.file, SystemClock().now())
    text = f"{options.file}: {done.rows:,} rows of {done.tables} tables, {done.files:,} files ({size_text(done.bytes)})"
    emit(options, done, text)
    return 0
