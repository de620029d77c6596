"""The events of a run: appended, numbered 1, 2, 3 … within the run, never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.errors import NotFound
from agent.store.tables import events, runs


@dataclass(frozen=True)
class Event:
    """A row of events. `seq` counts from 1 within the run."""

    id: int
    run_id: int
    seq: int
    type: str
    payload: Mapping[str, Any]
    created_at: datetime


# Made once, since building a statement costs more than executing it. Several rows are inserted one after the other, so
# each sees the number before its own.
_run: sa.BindParameter[int] = sa.bindparam("run")
_LOCK = sa.select(runs.c.id).where(runs.c.id == _run).with_for_update(key_share=True)
_NOTE = sa.update(runs).where(runs.c.id == _run)
_last = sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0)).where(events.c.run_id == _run)
_APPEND = sa.insert(events).values(run_id=_run, seq=_last.scalar_subquery() + 1)


def append(
    conn: sa.Connection,
    run_id: int,
    type: str,  # noqa: A002 (the column's name)
    payload: Mapping[str, Any],
    now: datetime,
) -> None:
    """Append an event. Raises NotFound where there is no such run."""
    append_all(conn, run_id, [(type, payload, now)])


def append_all(
    conn: sa.Connection,
    run_id: int,
    new: Sequence[tuple[str, Mapping[str, Any], datetime]],
    *,
    iteration: int | None = None,
) -> None:
    """Append events (type, payload, time) in order.

    `iteration` is noted in the run's row by the way. Raises NotFound where there is no such run.
    """
    if not new:
        return
    # The run's row is locked first: two writers of one run would otherwise both take the same number (PostgreSQL;
    # SQLite has one writer at a time). key_share lets rows that refer to the run be inserted meanwhile.
    if iteration is None:
        found = conn.execute(_LOCK, {"run": run_id}).one_or_none() is not None
    else:
        found = conn.execute(_NOTE, {"run": run_id, "iteration": iteration}).rowcount == 1
    if not found:
        raise NotFound(f"there is no run {run_id}", where="runs", mend="`agent runs` lists them")
    rows = [{"run": run_id, "type": kind, "payload": dict(payload), "created_at": at} for kind, payload, at in new]
    conn.execute(_APPEND, rows)


def load_events(conn: sa.Connection, run_id: int, after_seq: int = 0, limit: int | None = None) -> list[Event]:
    """Events of a run numbered above `after_seq`, in order, at most `limit`."""
    query = sa.select(events).where(events.c.run_id == run_id, events.c.seq > after_seq).order_by(events.c.seq)
    return [Event(**row) for row in conn.execute(query.limit(limit)).mappings()]
