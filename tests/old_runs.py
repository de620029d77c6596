"""Runs that ended some time ago, for tests of retention: the database itself dates what ends by its own clock."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from agent.store.control import runs
from agent.store.control.runs import Run
from agent.store.tables import runs as table


def cancelled(conn: sa.Connection, at: datetime) -> Run:
    """A run that was asked for and cancelled at `at`."""
    run = runs.create_run(conn, project_id=0, goal="old", targets=(), force=(), trigger="api", now=at)
    runs.move_run(conn, run.id, "CANCELLED", from_statuses=("QUEUED",))
    conn.execute(sa.update(table).where(table.c.id == run.id).values(finished_at=at))
    return runs.load_run(conn, run.id)
