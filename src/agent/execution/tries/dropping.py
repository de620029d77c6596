"""Dropping a try: its state goes, what only it had is for gc, and its runs stay as history, none of them open."""

from __future__ import annotations

import sys

from agent import identity
from agent.clock import SystemClock
from agent.errors import Busy
from agent.store import leases
from agent.store.control import attempts, runs
from agent.store.database.engine import Connections, Database, database_now
from agent.store.outputs import tries
from agent.store.outputs.tries import Try


def drop(database: Database, name: str) -> None:
    """Forget the try called `name`, or all cells of the grid. Raises NotFound, and Busy while a process carries a run
    of one out; then nothing is forgotten."""
    with database.writing() as connections:
        for one in tries.of_grid(connections.project, name) or [tries.load(connections.project, name)]:
            _drop(connections, one)
        sys.audit("tidemill.point", "try.dropped")


def _drop(connections: Connections, one: Try) -> None:
    own, at = runs.of_try(connections.project_id, one.id), database_now(connections.control)
    for run in runs.list_runs(connections.control, runs.Wanted(("RUNNING",), connections.project_id, try_id=one.id)):
        if leases.is_at_work(run.owner, run.lease_expires_at, at):
            raise Busy(
                f"try {one.name} is being computed by {identity.describe(run.owner or '')}",
                where=f"run {run.id}",
                fix="wait for its end, or stop that process",
            )
    tries.drop(connections.project, one)
    runs.abandon_runs(connections.control, SystemClock().now(), only=own)
    attempts.abandon_attempts_of_ended_runs(connections, SystemClock().now())
