"""Tries: changes that are computed beside production, each with a copy of the state that it began from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.core.model import Mark
from agent.errors import NotFound
from agent.store.database.engine import Connections
from agent.store.state import mark_dirty
from agent.store.tables import attempts, orchestrator_state, runs, tries, try_state
from pipelines.values import dataclass

# What a try begins without: marks, failures and leases are production's own.
_FRESH: Mapping[str, Any] = {
    "status": "idle",
    "consecutive_failures": 0,
    "lease_token": 0,
    **dict.fromkeys(("marked_at", "marked_by", "marked_reason", "marked_partitions", "dirty_reason", "last_error")),
    **dict.fromkeys(("last_failed_at", "next_retry_at", "lease_owner", "lease_taken_at", "lease_expires_at")),
}


@dataclass(frozen=True)
class Try:
    """A row of tries. settings: what it sets otherwise, as sections of agent.toml. targets: components; none: all.
    code: folder or git ref of own modules; None: the project's. code_commit: what the ref meant the last time.
    grid: the one that it is a cell of."""

    id: int
    name: str
    settings: Mapping[str, Any]
    targets: Sequence[str]
    created_at: datetime
    code: str | None = None
    code_commit: str | None = None
    grid: str | None = None


@dataclass(frozen=True)
class Cost:
    """What a try took: seconds and rows that it computed, and the components that it found computed already with the
    rows of these."""

    seconds: float
    rows: int
    computed: tuple[str, ...]
    reused: tuple[str, ...]
    rows_reused: int


def begin(
    conn: sa.Connection,
    name: str,
    settings: Mapping[str, Any],
    targets: Sequence[str],
    now: datetime,
    code: str | None = None,
    grid: str | None = None,
) -> Try:
    """A new try, from production's state at this moment."""
    new = {
        "name": name,
        "settings": dict(settings),
        "targets": list(targets),
        "created_at": now,
        "code": code,
        "grid": grid,
    }
    try_id: int = conn.execute(sa.insert(tries).values(**new).returning(tries.c.id)).scalar_one()
    names = [column.name for column in try_state.c if column.name != "try_id" and column.name not in _FRESH]
    copied = sa.select(
        sa.literal(try_id), *(orchestrator_state.c[name] for name in names), *(_literal(name) for name in _FRESH)
    )
    conn.execute(sa.insert(try_state).from_select(["try_id", *names, *_FRESH], copied))
    return load(conn, name)


def _literal(name: str) -> sa.ColumnElement[Any]:
    value = _FRESH[name]
    return sa.null() if value is None else sa.literal(value)


def find(conn: sa.Connection, name: str) -> Try | None:
    """A try by its name; None where there is none."""
    row = conn.execute(sa.select(tries).where(tries.c.name == name)).mappings().one_or_none()
    return None if row is None else Try(**row)


def load(conn: sa.Connection, name: str) -> Try:
    """A try by its name. Raises NotFound."""
    found = find(conn, name)
    if found is None:
        known = ", ".join(one.name for one in every(conn)) or "none yet"
        raise NotFound(f"there is no try {name!r}", where="tries", fix=f"known are: {known}")
    return found


def by_number(conn: sa.Connection, number: int) -> Try:
    """A try by its id. Raises NotFound."""
    row = conn.execute(sa.select(tries).where(tries.c.id == number)).mappings().one_or_none()
    if row is None:
        raise NotFound("the try was dropped meanwhile", where="tries", fix="`agent tries` lists those there are")
    return Try(**row)


def every(conn: sa.Connection) -> list[Try]:
    """All tries, newest first."""
    return [Try(**row) for row in conn.execute(sa.select(tries).order_by(tries.c.id.desc())).mappings()]


def mark(conn: sa.Connection, component: str, doubt: Mark) -> None:
    """Pass a mark of production's on to every try, which may have the files that a person doubts. Before results are
    forgotten, so that a try which commits meanwhile has its own forgotten as well, or registers none."""
    having = sa.select(try_state.c.try_id).where(try_state.c.component == component).order_by(try_state.c.try_id)
    for try_id in conn.scalars(having).all():
        mark_dirty(conn, component, doubt, try_id)


def of_grid(conn: sa.Connection, name: str) -> list[Try]:
    """The cells of a grid, in their order; none where there is no such grid."""
    return [
        Try(**row) for row in conn.execute(sa.select(tries).where(tries.c.grid == name).order_by(tries.c.id)).mappings()
    ]


def grids(conn: sa.Connection) -> list[str]:
    """Names of all grids, newest first."""
    query = sa.select(tries.c.grid).where(tries.c.grid.is_not(None)).group_by(tries.c.grid)
    return list(conn.scalars(query.order_by(sa.func.max(tries.c.id).desc())))


def note_commit(conn: sa.Connection, one: Try, commit: str | None) -> None:
    """Note the commit that the code of a try is by now."""
    conn.execute(sa.update(tries).where(tries.c.id == one.id).values(code_commit=commit))


def drop(conn: sa.Connection, one: Try) -> None:
    """Forget a try: what only it has is for gc. Its runs stay as history."""
    conn.execute(sa.delete(try_state).where(try_state.c.try_id == one.id))
    conn.execute(sa.delete(tries).where(tries.c.id == one.id))


def cost(at: Connections, one: Try) -> Cost:
    """What the attempts of a try took, as far as its runs are still on record."""
    mine = sa.and_(runs.c.project_id == at.project_id, runs.c.try_id == one.id, attempts.c.status == "succeeded")
    query = sa.select(attempts).join(runs, runs.c.id == attempts.c.run_id).where(mine).order_by(attempts.c.id)
    rows = at.control.execute(query).mappings().all()
    done = [row for row in rows if row["reused_from"] is None]
    taken = [row for row in rows if row["reused_from"] is not None]
    return Cost(
        sum(row["seconds"] or 0.0 for row in done),
        sum(row["rows"] or 0 for row in done),
        tuple(dict.fromkeys(row["component"] for row in done)),
        tuple(dict.fromkeys(row["component"] for row in taken)),
        sum(row["rows"] or 0 for row in taken),
    )
