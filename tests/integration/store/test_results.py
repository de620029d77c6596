"""The registry of results on a real database: found, kept from gc, and never both taken and removed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from agent.core.model import Reuse
from agent.store.database.engine import open_engine, reading, writing
from agent.store.outputs import results
from agent.store.tables import snapshots

NOW = datetime(2026, 1, 10, tzinfo=UTC)
OLD = NOW - timedelta(days=9)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    found = open_engine(database_url)
    yield found
    found.dispose()


def save(conn: sa.Connection, at: datetime) -> int:
    facts = {"component": "total", "version": f"v{at:%d}", "rows": 1, "token": 1, "created_at": at}
    nothing = {"input_versions": {}, "code_version": "c", "settings_hash": "s", "settings": {}}
    return int(conn.execute(sa.insert(snapshots).values(**facts, **nothing).returning(snapshots.c.id)).scalar_one())


def registered(engine: sa.Engine, *, replaced: bool = True) -> Reuse:
    """A result of long ago, whose output was replaced soon after that."""
    with writing(engine) as conn:
        number = save(conn, OLD)
        results.register(conn, "total", "f1", snapshot_id=number, attempt_id=3, run_id=2, now=OLD)
        if replaced:
            save(conn, OLD + timedelta(hours=1))
    with reading(engine) as conn:
        found = results.find(conn, "total", "f1")
    assert found == Reuse(number, "v01", 3, 2, "f1")
    return found


def is_there(engine: sa.Engine) -> bool:
    with reading(engine) as conn:
        return results.find(conn, "total", "f1") is not None


def test_what_was_long_unused_and_replaced_goes(engine: sa.Engine) -> None:
    one = registered(engine)
    with writing(engine) as conn:
        assert list(results.kept(conn, OLD)) == [one.snapshot_id]
        assert list(results.kept(conn, NOW)) == []
        results.forget_unused(conn, OLD)
        assert results.find(conn, "total", "f1") == one
        assert results.find(conn, "total", "f2") is None
        results.forget_unused(conn, NOW)
    assert not is_there(engine)


def test_the_present_output_is_kept_however_old(engine: sa.Engine) -> None:
    one = registered(engine, replaced=False)
    with writing(engine) as conn:
        results.forget_unused(conn, NOW)
        assert list(results.kept(conn, NOW)) == [one.snapshot_id]
        save(conn, NOW)  # replaced now: kept from now on
        results.forget_unused(conn, NOW)
    assert is_there(engine)


def test_another_result_for_the_same_fingerprint_is_not_held_by_mistake(engine: sa.Engine) -> None:
    one = registered(engine)
    with writing(engine) as conn:
        results.register(conn, "total", "f1", snapshot_id=save(conn, NOW), attempt_id=9, run_id=9, now=NOW)
        assert not results.hold(conn, "total", one, NOW)
        results.forget(conn, "total")
        assert results.find(conn, "total", "f1") is None


@pytest.mark.parametrize("first", ["taken", "removed"])
def test_taken_or_removed_whichever_is_first(engine: sa.Engine, first: str) -> None:
    """The second of two transactions that begin beside each other sees what the first has done."""
    one = registered(engine)
    held: list[bool] = []

    def take(conn: sa.Connection) -> None:
        held.append(results.hold(conn, "total", one, NOW))

    def remove(conn: sa.Connection) -> None:
        results.forget_unused(conn, NOW - timedelta(hours=1))

    def second(act: Callable[[sa.Connection], None]) -> None:
        with writing(engine) as conn:
            act(conn)

    acts = (take, remove) if first == "taken" else (remove, take)
    with writing(engine) as conn:
        acts[0](conn)
        beside = threading.Thread(target=second, args=(acts[1],))
        beside.start()
        if engine.dialect.name == "postgresql":  # until it waits for the row that the first has changed
            waits = sa.text("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
            while conn.execute(waits).first() is None:
                assert beside.is_alive()
    beside.join()
    assert held == [first == "taken"]
    assert is_there(engine) == (first == "taken")
