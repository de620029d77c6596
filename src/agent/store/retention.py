"""Keeps the state database from growing for ever: forgets old runs, and gives back the space of what was deleted."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from agent.store.engine import alone
from agent.store.runs import FINAL
from agent.store.tables import runs


def forget_runs(conn: sa.Connection, *, keep_runs: int, before: datetime) -> int:
    """Delete runs that ended before `before`, with their events, attempts and approvals; returns how many.

    The `keep_runs` newest stay however old they are, and so does every run that is not over.
    """
    newest = sa.select(runs.c.id).order_by(runs.c.id.desc()).limit(keep_runs)
    old = sa.and_(runs.c.status.in_(FINAL), runs.c.finished_at < before, runs.c.id.not_in(newest))
    return conn.execute(sa.delete(runs).where(old)).rowcount


def vacuum(engine: sa.Engine) -> None:
    """Give the space of deleted rows back. On SQLite it needs as much free disk again and locks writers out meanwhile.

    Raises DatabaseError, DatabaseUnavailable.
    """
    with alone(engine) as conn:
        conn.execute(sa.text("VACUUM" if engine.dialect.name == "sqlite" else "VACUUM (ANALYZE)"))
