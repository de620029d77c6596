"""`agent gc`: remove what nothing refers to any more."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

from agent.arguments import number, rows
from agent.cli.output import emit, size_text
from agent.execution import reserve
from agent.execution.upkeep.gc import collect
from agent.execution.workspace import open_workspace, read_settings

HELP = "Remove old releases, old outputs, and files that crashed attempts left behind; safe beside running attempts."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--keep-releases", type=rows, metavar="N", help="newest releases to keep ([retention])")
    parser.add_argument(
        "--keep-days",
        type=number(0, 36500),
        metavar="D",
        help="keep outputs that no kept release needs this long after they were replaced ([retention])",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, remove nothing")


def run(options: argparse.Namespace) -> int:
    """Collect, and say what went."""
    settings, _ = read_settings(options.project_dir)
    with reserve.released(settings.home), open_workspace(options.project_dir) as workspace:
        keep = settings.retention
        releases = keep.keep_releases if options.keep_releases is None else options.keep_releases
        days = keep.keep_output_days if options.keep_days is None else options.keep_days
        take = partial(
            collect,
            settings,
            workspace.database,
            workspace.releasing,
            keep_releases=releases,
            keep_days=days,
            now=workspace.database.now(),
        )
        if options.dry_run:
            found = take(dry_run=True)
        else:
            loose = take(files_only=True)  # first, since it needs no room: what it frees, the rest may need
            found = take()
            found = replace(found, files=found.files + loose.files, bytes=found.bytes + loose.bytes)
    verb = "would remove" if options.dry_run else "removed"
    size = size_text(found.bytes)
    lines = [f"{verb} {found.files} files ({size}), {found.snapshots} snapshots, {len(found.releases)} releases"]
    lines += [f"  release {name}" for name in found.releases]
    if found.unknown:
        shown = ", ".join(found.unknown[:5]) + (", …" if len(found.unknown) > 5 else "")
        lines.append(f"left alone, not written by tidemill: {shown}")
    emit(options, found, "\n".join(lines))
    return 0
