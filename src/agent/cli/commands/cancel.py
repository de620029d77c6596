"""`agent cancel RUN`: end a run that waits or is being executed."""

from __future__ import annotations

import argparse

from agent.arguments import row_id
from agent.cli.output import emit, user_name
from agent.clock import SystemClock
from agent.execution.cancel import cancel_run
from agent.execution.workspace import open_workspace

HELP = "End a run that waits in the queue or is being executed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_id", metavar="RUN", type=row_id, help="number of the run, see `agent runs`")


def run(options: argparse.Namespace) -> int:
    """Cancel it, or ask the process that executes it to."""
    with open_workspace(options.project_dir) as workspace:
        found = cancel_run(workspace.database, options.run_id, by=user_name(), now=SystemClock().now())
    text = (
        f"run {found.id} is cancelled"
        if found.status == "CANCELLED"
        else f"run {found.id} was asked to stop; the process that executes it ends it within seconds"
    )
    emit(options, found, text)
    return 0
