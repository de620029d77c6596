"""Old runs go with all they told; what is young, newest or not over stays."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent import settings as agent_settings
from agent.core.events import RunCreated
from agent.runtime import retention as runtime_retention
from agent.settings import Settings
from agent.store.control import events, retention, runs
from agent.store.database import migrations
from agent.store.database.engine import Database, open_engine, reading, writing
from agent.store.tables import events as event_rows
from tests.integration.store.conftest import NOW
from tests.old_runs import cancelled


def test_old_runs_go_with_their_events(engine: sa.Engine) -> None:
    ids = []
    with writing(engine) as conn:
        for days in (100, 90, 80, 2):
            at = NOW - timedelta(days=days)
            if days == 90:  # this one waits still
                run = runs.create_run(conn, project_id=0, goal="x", targets=(), force=(), trigger="person", now=at)
            else:
                run = cancelled(conn, at)
            events.append(conn, run.id, RunCreated("x" * 2000), at)
            ids.append(run.id)
        before = NOW - timedelta(days=30)
        assert retention.forget_runs(conn, keep_runs=2, before=before) == 1
        assert [one.id for one in runs.list_runs(conn)] == [ids[3], ids[2], ids[1]]
        assert retention.forget_runs(conn, keep_runs=1, before=before) == 1
    with reading(engine) as conn:
        assert [one.id for one in runs.list_runs(conn)] == [ids[3], ids[1]]
        assert set(conn.scalars(sa.select(event_rows.c.run_id))) == {ids[1], ids[3]}


def test_vacuum_gives_the_space_back_and_leaves_the_rows(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        run = runs.create_run(conn, project_id=0, goal="x", targets=(), force=(), trigger="person", now=NOW)
        events.append_all(conn, run.id, [(RunCreated("x" * 4000), NOW)] * 300)
    with writing(engine) as conn:
        conn.execute(sa.delete(event_rows))
    size = sa.text("PRAGMA freelist_count" if engine.dialect.name == "sqlite" else "SELECT pg_relation_size('events')")
    with reading(engine) as conn:
        before = conn.scalar(size)
    retention.vacuum(engine)
    with reading(engine) as conn:
        assert conn.scalar(size) < before
        assert runs.load_run(conn, run.id).goal == "x"
    with writing(engine) as conn:  # the connection goes back to the pool as it was
        events.append(conn, run.id, RunCreated("all"), NOW)
        assert [event.seq for event in events.load_events(conn, run.id)] == [1]


def test_many_runs_go_in_many_transactions(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody waits for the lock longer than one batch takes; another writer gets in between."""
    monkeypatch.setattr(retention, "BATCH", 10)
    old = NOW - timedelta(days=400)
    with writing(engine) as conn:
        for _ in range(35):
            cancelled(conn, old)
    deleted, other = [], open_engine(engine.url.render_as_string(hide_password=False))

    def look(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("DELETE FROM runs"):
            with reading(other) as conn:
                deleted.append(35 - len(runs.list_runs(conn)))

    sa.event.listen(engine, "after_cursor_execute", look)
    settings = agent_settings.load(tmp_path, {})
    keep = Database(control=engine, project=engine)
    assert runtime_retention.forget_runs(with_keep_runs(settings, 3), keep, NOW) == 32
    assert deleted == [0, 10, 20, 30], "what one batch deleted is committed before the next one begins"
    other.dispose()


def with_keep_runs(settings: Settings, count: int) -> Settings:
    """The settings with another [retention] keep_runs."""
    return replace(settings, parts={"retention": replace(settings.retention, keep_runs=count)})


def test_a_new_file_gives_space_back_in_steps(tmp_path: Path) -> None:
    """No step is a VACUUM, which locks writers out for as long as the file is large."""
    engine = open_engine(f"sqlite:///{tmp_path / 'new.sqlite'}")
    migrations.upgrade(engine)
    with writing(engine) as conn:
        run = runs.create_run(conn, project_id=0, goal="x", targets=(), force=(), trigger="person", now=NOW)
        events.append_all(conn, run.id, [(RunCreated("x" * 4000), NOW)] * 300)
        conn.execute(sa.delete(event_rows))
    said: list[str] = []
    sa.event.listen(engine, "after_cursor_execute", lambda _c, _u, statement, *_: said.append(statement))
    retention.vacuum(engine)
    assert "VACUUM" not in said
    assert said.count("PRAGMA freelist_count") < 6, "a step gives back many pages, not one"
    with reading(engine) as conn:
        assert conn.exec_driver_sql("PRAGMA freelist_count").scalar() == 0
    engine.dispose()


def test_a_file_of_an_earlier_version_is_written_anew_once(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE x (y)")
    raw.close()
    engine = open_engine(f"sqlite:///{path}")
    said: list[str] = []
    sa.event.listen(engine, "after_cursor_execute", lambda _c, _u, statement, *_: said.append(statement))
    retention.vacuum(engine)
    retention.vacuum(engine)
    assert said.count("VACUUM") == 1
    engine.dispose()
