"""A database for a replay: migrated, in a folder that is gone at its end. Nobody resumes from it, so that it need not
reach the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from agent.store.database import migrations
from agent.store.database.engine import Database, open_engine


@contextmanager
def throwaway() -> Iterator[Database]:
    """An empty database until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'replay.sqlite'}")
        sa.event.listen(engine, "connect", _in_memory)
        migrations.ensure_current(engine, automatic=True)
        database = Database(engine, engine)
        try:
            yield database
        finally:
            database.close()


def _in_memory(connection: Any, _record: object) -> None:
    """After the engine's own listener: no commit waits for the disk."""
    connection.execute("PRAGMA synchronous = OFF")
