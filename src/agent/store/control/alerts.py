"""When an alert was last sent, by cause, so that one cause makes at most one message a period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from agent.store.database.engine import insert
from agent.store.tables import alerts


def claim(conn: sa.Connection, cause: str, *, period: timedelta, now: datetime) -> bool:
    """Whether a message on `cause` is due now; if so it counts as sent, so that no other process sends it too."""
    new = insert(conn, alerts).values(cause=cause, last_sent_at=now, sent_count=1)
    due = new.on_conflict_do_update(
        index_elements=["cause"],
        set_={"last_sent_at": now, "sent_count": alerts.c.sent_count + 1},
        where=alerts.c.last_sent_at <= now - period,
    )
    return conn.execute(due.returning(alerts.c.cause)).one_or_none() is not None


def clear(conn: sa.Connection, causes: Sequence[str]) -> list[str]:
    """Forget causes that are over; returns those that a message had been sent for."""
    gone = sa.delete(alerts).where(alerts.c.cause.in_(causes)).returning(alerts.c.cause)
    return sorted(conn.scalars(gone))
