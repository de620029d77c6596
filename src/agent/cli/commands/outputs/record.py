"""`agent record verify`: is the forward record what was sealed?"""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.execution.sealing import verify
from agent.execution.workspace import open_workspace

HELP = "Look whether any published decision was changed after it was sealed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("verify", help="check every seal, the notes beside the releases, and the releases' files")


def run(options: argparse.Namespace) -> int:
    """Check; 1 where something does not agree."""
    with open_workspace(options.project_dir) as workspace:
        rows, found = verify(workspace)
    newest = rows[-1].hash if rows else None
    count = f"{len(rows)} publication{'' if len(rows) == 1 else 's'}"
    if found:
        text = "\n".join([f"the forward record of {count} was changed:", *(f"- {one}" for one in found)])
    elif rows:
        text = f"the forward record is as it was sealed: {count} since {rows[0].sealed_at[:16]} UTC, newest {newest}"
    else:
        text = "the forward record is empty: nothing was published yet"
    emit(options, {"publications": len(rows), "newest": newest, "faults": found}, text)
    return 1 if found else 0
