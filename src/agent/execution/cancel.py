"""Ends a run because a person says so: at once where nobody executes it yet, else by asking whoever does."""

from __future__ import annotations

import contextlib
from datetime import datetime

from agent.core.events import RunCancelled
from agent.errors import Conflict, NotFound
from agent.store.control import events, runs
from agent.store.control.runs import Run, Wanted
from agent.store.database.engine import Database

_MOST = 1000  # runs ended by one request
_NOT_BEGUN = ("QUEUED", "AWAITING_APPROVAL")


def cancel_run(database: Database, run_id: int, *, by: str, now: datetime) -> Run:
    """The run as it is afterwards: CANCELLED, or RUNNING with `cancel_requested`, which its process hears of within
    about a second. Raises NotFound, and Conflict where it is over."""
    with database.writing() as connections:
        runs.request_cancel(connections.control, run_id)
        error = f"cancelled by {by} before it began"
        if runs.move_run(connections.control, run_id, "CANCELLED", from_statuses=_NOT_BEGUN, error=error):
            events.append(connections.control, run_id, RunCancelled(error), now)
        return runs.load_run(connections.control, run_id)


def cancel_runs(database: Database, wanted: Wanted, *, by: str, now: datetime) -> tuple[list[int], bool]:
    """Cancel the open runs among those that are wanted, oldest first, each in a transaction of its own; returns their
    numbers, and whether there are more of them."""
    with database.reading() as connections:
        found = [
            run.id for run in runs.list_runs(connections.control, wanted, limit=_MOST + 1) if not run.cancel_requested
        ]
    ended = []
    for run_id in sorted(found[:_MOST]):
        with contextlib.suppress(Conflict, NotFound):  # over, or forgotten, this moment
            cancel_run(database, run_id, by=by, now=now)
            ended.append(run_id)
    return ended, len(found) > _MOST
