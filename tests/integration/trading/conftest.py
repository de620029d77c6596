"""A database of either kind for the trading agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.store.database.engine import Database, open_engine


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty, migrated database."""
    engine = open_engine(database_url)
    yield Database(engine, engine)
    engine.dispose()
