"""Tables of a new SQLite database, copied from one that was migrated: a new home costs 5 ms instead of 200."""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from agent.store.database import migrations
from agent.store.database.engine import open_engine

_migrated = migrations.upgrade


@cache
def statements() -> tuple[str, ...]:
    """What makes the tables that all migrations make, with their first rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite"
        engine = open_engine(f"sqlite:///{path}")
        _migrated(engine)
        engine.dispose()
        connection = sqlite3.connect(path)
        found = tuple(one for one in connection.iterdump() if one not in ("BEGIN TRANSACTION;", "COMMIT;"))
        connection.close()
    return found


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """What stands in for agent.store.database.migrations.upgrade."""
    if engine.dialect.name == "sqlite" and revision == "head":
        made = statements()
        with migrations.migrating(engine) as conn:
            if not conn.scalar(sa.text("SELECT count(*) FROM sqlite_master")):
                for statement in made:
                    conn.exec_driver_sql(statement)
                return
    _migrated(engine, revision)
