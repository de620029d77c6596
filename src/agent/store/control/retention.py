"""Keeps the state database from growing for ever: forgets old runs, and gives back the space of what was deleted."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.store.control.runs import FINAL
from agent.store.database.engine import alone
from agent.store.tables import runs

_INCREMENTAL = 2
GIVE_WAY_SECONDS = 0.11  # between two transactions: whoever waits for SQLite's lock looks for it each 0.1 s
BATCH = 250  # runs deleted in one transaction: a fraction of a second, so that nobody waits for the lock
_PAGES = 125  # of 4 kB, given back in one transaction


def forget_runs(conn: sa.Connection, *, keep_runs: int, before: datetime) -> int:
    """Delete up to BATCH runs that ended before `before`, with their events, attempts and approvals; returns how many.

    The `keep_runs` newest stay however old they are, not counting those of tries, which go with their neighbours; and
    so does every run that is not over. Call it, each time in a transaction of its own, until it returns fewer than
    BATCH.
    """
    counted = sa.select(runs.c.id).where(runs.c.try_id == 0).order_by(runs.c.id.desc())
    last = conn.scalar(counted.limit(1).offset(keep_runs))
    if last is None:
        return 0
    old = sa.and_(runs.c.id <= last, runs.c.status.in_(FINAL), runs.c.finished_at < before)
    some = list(conn.scalars(sa.select(runs.c.id).where(old).order_by(runs.c.id).limit(BATCH)))
    return conn.execute(sa.delete(runs).where(runs.c.id.in_(some))).rowcount if some else 0


def vacuum(engine: sa.Engine) -> None:
    """Give the space of deleted rows back, in steps that hold no lock for long.

    A SQLite file that an earlier version made is first written again, once: that takes as much free disk again and
    locks writers out meanwhile. Raises DatabaseError, DatabaseUnavailable.
    """
    with alone(engine) as conn:
        if engine.dialect.name != "sqlite":
            conn.execute(sa.text("VACUUM (ANALYZE)"))
            return
        if conn.exec_driver_sql("PRAGMA auto_vacuum").scalar() != _INCREMENTAL:
            conn.exec_driver_sql(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            conn.exec_driver_sql("VACUUM")
        driver: Any = conn.connection.driver_connection
        free = conn.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
        while free > 0:
            # As a script: of a statement without columns the driver takes one step alone, which gives one page back.
            driver.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
            _checkpoint(conn)
            left = conn.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
            if left >= free:  # another process deletes as fast as this one gives back
                return
            free = left
            time.sleep(GIVE_WAY_SECONDS)
        _checkpoint(conn)


def _checkpoint(conn: sa.Connection) -> None:
    """Carry the log into the file, without a lock: else the next commit of somebody else does so, and waits for it."""
    conn.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
