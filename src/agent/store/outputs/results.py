"""Results that are found again: which output was computed from which ingredients (see agent.core.results).

A row keeps its snapshot from gc, which deletes rows before it looks for what nothing refers to: whoever changes a row
in the transaction that opens an attempt has a snapshot that stays, or no row and computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from agent.core.model import Reuse
from agent.store.database.engine import insert
from agent.store.tables import results, snapshots

# Made once, since building a statement costs more than executing it.
_HERE = sa.and_(
    results.c.component == sa.bindparam("its_component"), results.c.fingerprint == sa.bindparam("its_fingerprint")
)
_FIND = (
    sa.select(results.c.snapshot_id, snapshots.c.version, results.c.attempt_id, results.c.run_id)
    .join_from(results, snapshots, snapshots.c.id == results.c.snapshot_id)
    .where(_HERE)
)
_TAKE = sa.update(results).where(_HERE, results.c.snapshot_id == sa.bindparam("its_snapshot"))
_MOVE = sa.update(results).where(_HERE)


def find(conn: sa.Connection, component: str, fingerprint: str) -> Reuse | None:
    """The result of a component that is registered for a fingerprint."""
    row = conn.execute(_FIND, _of(component, fingerprint)).one_or_none()
    return None if row is None else Reuse(*row, fingerprint)


def hold(conn: sa.Connection, component: str, found: Reuse, now: datetime) -> bool:
    """Keep a result that was found from gc, in the transaction that takes the component's lease at `now`. False where
    it is gone, or another one by now."""
    values = {**_of(component, found.fingerprint), "its_snapshot": found.snapshot_id, "last_used_at": now}
    return conn.execute(_TAKE, values).rowcount == 1


def register(
    conn: sa.Connection,
    component: str,
    fingerprint: str,
    *,
    snapshot_id: int,
    attempt_id: int,
    run_id: int,
    now: datetime,
) -> None:
    """Note what was just computed, in place of an earlier result for the same fingerprint."""
    facts = {"snapshot_id": snapshot_id, "attempt_id": attempt_id, "run_id": run_id, "last_used_at": now}
    new = insert(conn, results).values(component=component, fingerprint=fingerprint, **facts)
    conn.execute(new.on_conflict_do_update(index_elements=["component", "fingerprint"], set_=facts))


def move(conn: sa.Connection, component: str, fingerprint: str, snapshot_id: int, now: datetime) -> None:
    """Let a result that was taken refer to the snapshot that it is in now; who computed it stays."""
    conn.execute(_MOVE, {**_of(component, fingerprint), "snapshot_id": snapshot_id, "last_used_at": now})


def forget(conn: sa.Connection, component: str) -> None:
    """Let no earlier result of a component be found any more."""
    conn.execute(sa.delete(results).where(results.c.component == component))


def forget_unused(conn: sa.Connection, before: datetime) -> None:
    """Forget the results that nobody has used since `before`, and whose output was replaced before that. One that is
    being taken at this moment stays."""
    conn.execute(sa.delete(results).where(_is_unused(before)))


def kept(conn: sa.Connection, before: datetime) -> Iterable[int]:
    """The snapshots of the other results."""
    return conn.scalars(sa.select(results.c.snapshot_id).where(~_is_unused(before))).all()


def _is_unused(before: datetime) -> sa.ColumnElement[bool]:
    own = snapshots.alias()
    of_own = sa.and_(own.c.id == results.c.snapshot_id, own.c.try_id == snapshots.c.try_id)
    after = sa.and_(snapshots.c.component == results.c.component, snapshots.c.id > results.c.snapshot_id)
    later = sa.select(snapshots.c.id).join_from(snapshots, own, of_own).where(after, snapshots.c.created_at < before)
    # That of a try is no present output of production's: its use alone counts.
    of_a_try = sa.select(own.c.id).where(own.c.id == results.c.snapshot_id, own.c.try_id != 0)
    replaced = sa.or_(later.correlate(results).exists(), of_a_try.correlate(results).exists())
    return sa.and_(results.c.last_used_at < before, replaced)


def _of(component: str, fingerprint: str) -> dict[str, str]:
    return {"its_component": component, "its_fingerprint": fingerprint}
