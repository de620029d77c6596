"""Approvals: the question whether a planned run may go ahead, its deadline and its one answer."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from agent.store.database.engine import database_now
from agent.store.tables import approvals, runs
from pipelines.values import dataclass


@dataclass(frozen=True)
class Approval:
    """A row of approvals. status: waiting, approved, rejected or expired."""

    id: int
    run_id: int
    status: str
    answered_by: str | None
    reason: str | None
    created_at: datetime
    expires_at: datetime
    answered_at: datetime | None


def ask(conn: sa.Connection, run_id: int, *, now: datetime, minutes: float) -> datetime:
    """Ask for approval of a run within so many minutes, by the database's clock; returns when the question expires."""
    expires_at = database_now(conn) + timedelta(minutes=minutes)
    conn.execute(sa.insert(approvals).values(run_id=run_id, status="waiting", created_at=now, expires_at=expires_at))
    return expires_at


def answer(
    conn: sa.Connection, run_id: int, status: str, *, now: datetime, answered_by: str, reason: str | None = None
) -> bool:
    """Answer the question on a run: approved, rejected or expired. False where none waits for that answer: a person's
    comes before the deadline, `expired` after it."""
    in_time = approvals.c.expires_at > database_now(conn)
    here = sa.and_(
        approvals.c.run_id == run_id, approvals.c.status == "waiting", ~in_time if status == "expired" else in_time
    )
    values = {"status": status, "answered_at": now, "answered_by": answered_by, "reason": reason}
    return conn.execute(sa.update(approvals).where(here).values(**values)).rowcount == 1


def load_approval(conn: sa.Connection, run_id: int) -> Approval | None:
    """The approval of a run; None where none was asked for."""
    row = conn.execute(sa.select(approvals).where(approvals.c.run_id == run_id)).mappings().one_or_none()
    return None if row is None else Approval(**row)


def overdue(conn: sa.Connection) -> list[int]:
    """Runs whose approval was not given in time, by the database's clock."""
    late = approvals.c.expires_at <= database_now(conn)
    query = sa.select(approvals.c.run_id).where(approvals.c.status == "waiting", late)
    return list(conn.scalars(query.order_by(approvals.c.run_id)))


def next_to_ask(conn: sa.Connection) -> int | None:
    """The oldest QUEUED run that needs approval and was not asked for yet; None where there is none."""
    asked = sa.select(approvals.c.id).where(approvals.c.run_id == runs.c.id)
    query = sa.select(runs.c.id).where(runs.c.status == "QUEUED", runs.c.require_approval, ~asked.exists())
    found: int | None = conn.scalar(query.order_by(runs.c.id).limit(1))
    return found
