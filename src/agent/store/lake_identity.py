"""What a database calls itself in its lake: random, made with the first file, and never that of another database."""

from __future__ import annotations

import sqlalchemy as sa

from agent.store.database.engine import insert
from agent.store.tables import lake_identity

_ONLY = 1
IDENTITY = sa.select(lake_identity.c.identity)  # made once, since building a statement costs more than executing it


def load(conn: sa.Connection) -> str | None:
    """The identity; None where no file was written yet."""
    found: str | None = conn.scalar(IDENTITY)
    return found


def make(conn: sa.Connection) -> str:
    """The identity, made where there is none yet."""
    import secrets  # needed once in the life of a database

    new = insert(conn, lake_identity).values(id=_ONLY, identity=secrets.token_hex(16))
    conn.execute(new.on_conflict_do_nothing(index_elements=["id"]))
    found = load(conn)
    assert found is not None
    return found
