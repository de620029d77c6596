"""When each schedule is due next, kept so that a time missed while the process was down is known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from agent.store.database.engine import insert
from agent.store.tables import schedules


class Due(NamedTuple):
    """A row of schedules."""

    rule: str
    next_due_at: datetime
    last_started_at: datetime | None


def load_due(conn: sa.Connection, name: str) -> Due | None:
    """What is known of schedule `name`; None where it has never run."""
    here = schedules.c.name == name
    row = conn.execute(
        sa.select(schedules.c.rule, schedules.c.next_due_at, schedules.c.last_started_at).where(here)
    ).one_or_none()
    return None if row is None else Due(*row)


def save_due(conn: sa.Connection, name: str, rule: str, next_due_at: datetime, started_at: datetime) -> None:
    """Note that schedule `name` has started at `started_at` and when it is due again."""
    values = {"rule": rule, "next_due_at": next_due_at, "last_started_at": started_at}
    new = insert(conn, schedules).values(name=name, **values)
    conn.execute(new.on_conflict_do_update(index_elements=["name"], set_=values))


def is_over(next_due_at: datetime, now: datetime, every: timedelta) -> bool:
    """Whether a due time has come. One further off than `every` was set by a clock that was wrong, and has come too."""
    return not now < next_due_at <= now + every


def claim(conn: sa.Connection, name: str, rule: str, *, every: timedelta, now: datetime) -> bool:
    """Whether `name` is due now, for the first time or again; if so it is next due `every` later, for everyone."""
    values = {"rule": rule, "next_due_at": now + every, "last_started_at": now}
    new = insert(conn, schedules).values(name=name, **values)
    has_come = sa.or_(schedules.c.next_due_at <= now, schedules.c.next_due_at > now + every)
    due = new.on_conflict_do_update(index_elements=["name"], set_=values, where=has_come)
    return conn.execute(due.returning(schedules.c.name)).one_or_none() is not None
