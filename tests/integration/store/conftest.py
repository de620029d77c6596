"""An open database for the store's tests, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from agent.store.database.engine import open_engine

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine for an empty, migrated database."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()
