"""A database of either kind for the trading agent, and a project in which something was traded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store.database import migrations
from agent.store.database.engine import Database, open_engine
from tests.paper import MARKET, MovedClock, cycles, feed_of, trader
from tests.tiny import tiny_project


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty, migrated database."""
    engine = open_engine(database_url)
    yield Database(engine, engine)
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, as the current one."""
    made = tiny_project(tmp_path / "project")
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def traded(folder: Path) -> Path:
    """One where an account bought and sold once."""
    home = folder / ".tidemill"
    home.mkdir()
    engine = open_engine(f"sqlite:///{home / 'state.sqlite'}")
    migrations.ensure_current(engine, automatic=True)
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0, 100.0, 110.0, 120.0, 130.0, 140.0]}, {MARKET: {0: 1, 4: 1}}, confidence=0.6)
    with trader(Database(engine, engine), feed, clock) as one:
        one.recover()
        cycles(one, clock, range(4))
    with trader(Database(engine, engine), feed, clock, min_confidence_threshold=0.7) as one:
        one.recover()
        cycles(one, clock, (4,))
    engine.dispose()
    return folder
