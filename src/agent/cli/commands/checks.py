"""`agent checks`: are the stored files what was written, and do the tables keep their contracts?"""

from __future__ import annotations

import argparse

from agent.cli.output import emit, user_name
from agent.execution.row_account import row_warnings
from agent.execution.upkeep.integrity import examine
from agent.execution.workspace import open_workspace
from agent.store.outputs import catalog

HELP = "Check the stored files and the data contracts of the current outputs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--deep", action="store_true", help="hash every file, also those of earlier outputs; mark what was altered"
    )


def run(options: argparse.Namespace) -> int:
    """Print what was found. Exit code 1 where something is wrong."""
    with open_workspace(options.project_dir) as workspace:
        found = examine(workspace, deep=options.deep, by=user_name())
        with workspace.database.reading() as connections:
            left_out = catalog.quarantined(connections.project)
        odd = row_warnings(workspace)
    lines = []
    for one in found.findings:
        name = f"{one.component}, partition {one.key}" if one.key else one.component
        lines += [f"{name}: {one.what}", f"  where: {one.where}", f"  fix:   {one.fix}"]
    lines += [f"note: {name} left out {count:,} rows that break a rule" for name, count, _ in left_out]
    lines += [f"warning: {text}" for text in odd]
    counts = f"{found.files} files ({found.hashed} hashed), {found.tables} tables"
    lines.append(f"checked {counts}: {f'{len(found.findings)} are wrong' if found.findings else 'all is well'}")
    emit(options, found, "\n".join(lines))
    return 1 if found.findings else 0
