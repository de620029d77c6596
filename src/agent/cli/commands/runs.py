"""`agent runs`: the newest runs."""

from __future__ import annotations

import argparse
from itertools import islice

from agent.arguments import rows
from agent.cli.output import emit_rows, moment
from agent.console import table
from agent.core.lifecycle import RunState
from agent.execution.workspace import open_workspace
from agent.store.control import runs
from agent.store.control.runs import Run, Wanted
from agent.store.database.engine import consistent

HELP = "List the newest runs."
_PAGE = 1000  # a table of its own: no list is held as a whole
_HEADINGS = ("run", "status", "trigger", "created (UTC)", "seconds", "goal", "error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--status", choices=[str(one) for one in RunState], type=str.upper, help="only runs in this state"
    )
    parser.add_argument("--limit", type=rows, default=20, help="how many at most (20)")


def run(options: argparse.Namespace) -> int:
    """Print the runs, newest first."""
    wanted = Wanted(statuses=(options.status,) if options.status else ())
    with open_workspace(options.project_dir) as workspace, consistent(workspace.database.control) as conn:
        found = runs.iterate_runs(conn, wanted, limit=options.limit)
        if options.json:
            emit_rows(found)
            return 0
        any_shown = False
        while page := list(islice(found, _PAGE)):
            print(table([_row(one) for one in page], _HEADINGS, right={0, 4}))
            any_shown = True
    if not any_shown:
        print("There is no such run yet.")
    return 0


def _row(one: Run) -> tuple[str, ...]:
    took = (one.finished_at - one.started_at).total_seconds() if one.finished_at and one.started_at else None
    return (
        str(one.id),
        one.status,
        one.trigger,
        moment(one.created_at),
        "" if took is None else f"{took:.1f}",
        one.goal,
        (one.error or "").partition("\n")[0],
    )
