"""`agent runs`: the newest runs."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, moment
from agent.console import table
from agent.core.lifecycle import RunState
from agent.execution.workspace import open_workspace
from agent.store import runs

HELP = "List the newest runs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--status", choices=[str(one) for one in RunState], type=str.upper, help="only runs in this state"
    )
    parser.add_argument("--limit", type=int, default=20, help="how many at most (20)")


def run(options: argparse.Namespace) -> int:
    """Print the runs, newest first."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        found = runs.list_runs(connections.control, status=options.status, limit=options.limit)
    headings = ("run", "status", "trigger", "created (UTC)", "seconds", "goal", "error")
    rows = [
        (
            str(one.id),
            one.status,
            one.trigger,
            moment(one.created_at),
            f"{(one.finished_at - one.started_at).total_seconds():.1f}" if one.finished_at and one.started_at else "",
            one.goal,
            (one.error or "").partition("\n")[0],
        )
        for one in found
    ]
    emit(options, found, table(rows, headings, right={0, 4}) if rows else "There is no such run yet.")
    return 0
