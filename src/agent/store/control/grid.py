"""Reads what the grid of components and runs is laid out from: see agent.core.grid."""

from __future__ import annotations

import sqlalchemy as sa

from agent.core import grid
from agent.core.events import Blocked, Deferred, Skipped
from agent.core.grid import Column, Grid, Passed, Tried
from agent.store.control import runs
from agent.store.tables import attempts, events
from agent.store.tables import runs as table

LIMIT = 30
_PHASES = (Skipped.phase, Deferred.phase, Blocked.phase)


def load_grid(conn: sa.Connection, project_id: int, limit: int = LIMIT) -> Grid:
    """The grid of a project's newest `limit` runs, components in the order of the newest plan."""
    query = sa.select(table.c.id, table.c.created_at, table.c.started_at, table.c.finished_at, table.c.status)
    newest = query.where(runs.of_try(project_id, 0)).order_by(table.c.id.desc()).limit(limit)
    columns = []
    for row in conn.execute(newest):
        began = row.started_at or row.created_at
        seconds = None if row.finished_at is None else (row.finished_at - began).total_seconds()
        columns.append(Column(row.id, began, seconds, row.status))
    shown = [one.run_id for one in columns]
    tries = sa.select(*(attempts.c[name] for name in ("run_id", "component", "status", "is_cut_off", "seconds")))
    tried = conn.execute(tries.where(attempts.c.run_id.in_(shown)).order_by(attempts.c.id))
    phase, name = (events.c.payload[key].as_string() for key in ("phase", "component"))
    passes = sa.select(events.c.run_id, name.label("component"), phase.label("phase")).where(
        events.c.run_id.in_(shown), events.c.type == Skipped.type, phase.in_(_PHASES)
    )
    passed = conn.execute(passes.order_by(events.c.run_id, events.c.seq))
    plan = runs.newest_plan(conn, project_id) or ()
    return grid.lay_out(
        columns,
        [step["component"] for step in plan],
        [Tried(row.run_id, row.component, row.status, bool(row.is_cut_off), row.seconds) for row in tried],
        [Passed(*row) for row in passed],
    )
