"""Ends a run because a person says so: at once where nobody executes it yet, else by asking whoever does."""

from __future__ import annotations

from datetime import datetime

from agent.core.events import RunCancelled
from agent.store.control import events, runs
from agent.store.control.runs import Run
from agent.store.database.engine import Database

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
