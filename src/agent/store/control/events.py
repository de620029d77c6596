"""The events of a run: appended, numbered 1, 2, 3 … within the run, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.core.events import Event, Unknown, from_json, to_json
from agent.errors import NotFound
from agent.store.tables import events, runs
from pipelines.values import dataclass


@dataclass(frozen=True)
class EventRow:
    """A row of events. `seq` counts from 1 within the run; `payload` is JSON as stored: an object, unless by a hand."""

    id: int
    run_id: int
    seq: int
    type: str
    payload: Any
    created_at: datetime

    @property
    def event(self) -> Event:
        """What happened."""
        if not isinstance(self.payload, dict):
            return Unknown(self.type, {"payload": self.payload})
        return from_json(self.type, self.payload)


# Made once, since building a statement costs more than executing it. Several rows are inserted one after the other, so
# each sees the number before its own.
_run: sa.BindParameter[int] = sa.bindparam("run")
_LOCK = sa.select(runs.c.id).where(runs.c.id == _run).with_for_update(key_share=True)
_NOTE = sa.update(runs).where(runs.c.id == _run)
_last = sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0)).where(events.c.run_id == _run)
_APPEND = sa.insert(events).values(run_id=_run, seq=_last.scalar_subquery() + 1).inline()


def append(conn: sa.Connection, run_id: int, event: Event, now: datetime) -> None:
    """Append an event. Raises NotFound where there is no such run."""
    append_all(conn, run_id, [(event, now)])


def append_all(
    conn: sa.Connection,
    run_id: int,
    new: Sequence[tuple[Event, datetime]],
    *,
    iteration: int | None = None,
) -> None:
    """Append events, each with its time, in order.

    `iteration`, where it is given, is noted in the run's row by the way. Raises NotFound where there is no such run.
    """
    if not new:
        return
    # The run's row is locked first: two writers of one run would otherwise both take the same number (PostgreSQL;
    # SQLite has one writer at a time, and its foreign key misses the run). key_share lets rows that refer to the run be
    # inserted meanwhile.
    found = True
    if iteration is not None:
        found = conn.execute(_NOTE, {"run": run_id, "iteration": iteration}).rowcount == 1
    elif conn.dialect.name != "sqlite":
        found = conn.execute(_LOCK, {"run": run_id}).one_or_none() is not None
    if not found:
        raise _not_found(run_id)
    rows = [{"run": run_id, "type": one.type, "payload": to_json(one), "created_at": at} for one, at in new]
    try:
        conn.execute(_APPEND, rows)
    except sa.exc.IntegrityError as error:
        raise _not_found(run_id) from error


def _not_found(run_id: int) -> NotFound:
    return NotFound(f"there is no run {run_id}", where="runs", fix="`agent runs` lists them")


def load_events(conn: sa.Connection, run_id: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
    """Events of a run numbered above `after_seq`, in order, at most `limit`."""
    query = sa.select(events).where(events.c.run_id == run_id, events.c.seq > after_seq).order_by(events.c.seq)
    return [EventRow(**row) for row in conn.execute(query.limit(limit)).mappings()]
