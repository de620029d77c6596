"""The forward record: a row per publication and per refused one, only ever added."""

from __future__ import annotations

import sqlalchemy as sa

from agent.core.record import FIRST, Sealed, seal
from agent.store.database.engine import database_now
from agent.store.published import forward_record

_LONGEST = 200  # characters of a release's name or refusal


def add_seal(conn: sa.Connection, release: str, decisions: str) -> Sealed:
    """Seal the decisions of a release behind all rows so far. The lease of the release's component keeps others from
    adding one meanwhile."""
    newest = sa.select(forward_record.c.hash).order_by(forward_record.c.id.desc()).limit(1)
    before = conn.scalar(newest) or FIRST
    sealed_at = database_now(conn).isoformat()
    values = {
        "release": release,
        "sealed_at": sealed_at,
        "decisions": decisions,
        "previous_hash": before,
        "hash": seal(before, release, sealed_at, decisions),
    }
    number = conn.execute(sa.insert(forward_record).values(**values).returning(forward_record.c.id)).scalar_one()
    return Sealed(id=number, **values)


def add_refusal(conn: sa.Connection, why: str, decisions: str) -> None:
    """Seal the decisions of a release that was refused, in place of its name "refused: " and the reason. Not again
    where the newest row says the same: a run that is tried every hour is refused every hour."""
    release = f"refused: {' '.join(why.split())}"[:_LONGEST]
    newest = sa.select(forward_record).order_by(forward_record.c.id.desc()).limit(1)
    row = conn.execute(newest).mappings().first()
    if row is None or (row["release"], row["decisions"]) != (release, decisions):
        add_seal(conn, release, decisions)


def load_seals(conn: sa.Connection) -> list[tuple[str, str, str]]:
    """(sealed_at, release, hash) of every row, in order."""
    query = sa.select(forward_record.c.sealed_at, forward_record.c.release, forward_record.c.hash)
    return [tuple(row) for row in conn.execute(query.order_by(forward_record.c.id))]


def load_record(conn: sa.Connection) -> list[Sealed]:
    """Every row, in order."""
    query = sa.select(forward_record).order_by(forward_record.c.id)
    return [Sealed(**row) for row in conn.execute(query).mappings()]
