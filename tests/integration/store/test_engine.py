"""Opening databases, their transactions, and what is said when they refuse."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.core.model import Mark
from agent.errors import DatabaseError, DatabaseUnavailable
from agent.store import state
from agent.store.control import runs
from agent.store.database import migrations
from agent.store.database.engine import (
    Database,
    consistent,
    database_now,
    of_project,
    open_engine,
    reading,
    writing,
)
from agent.store.database.json_columns import to_json
from tests.paths import PROJECT

COUNT_UP = """
import sys
import sqlalchemy as sa
from agent.store.database.engine import open_engine, writing
engine = open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(25):
    with writing(engine) as conn:
        seen = conn.scalar(sa.text("SELECT run_count FROM orchestrator_state"))
        conn.execute(sa.text("UPDATE orchestrator_state SET run_count = :n"), {"n": seen + 1})
"""


def names(engine: sa.Engine) -> list[str]:
    with reading(engine) as conn:
        return sorted(state.load_states(conn))


def test_writing_commits_at_the_end_and_rolls_back_on_an_error(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        state.ensure_rows(conn, ["markets"])

    def fail_halfway() -> None:
        with writing(engine) as conn:
            state.ensure_rows(conn, ["ticks"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert names(engine) == ["markets"]


def test_one_database_means_one_transaction(engine: sa.Engine) -> None:
    database = Database(control=engine, project=engine)
    with database.writing() as connections:
        assert connections.control is connections.project
    with database.reading() as connections:
        assert connections.control is connections.project


def test_two_databases_mean_two_transactions(engine: sa.Engine, sqlite_url: str, tmp_path: Path) -> None:
    own = tmp_path / "own.sqlite"
    own.write_bytes((tmp_path / "state.sqlite").read_bytes())
    database = Database(control=engine, project=open_engine(f"sqlite:///{own}"), project_id=1)
    with database.writing() as connections:
        state.ensure_rows(connections.project, ["markets"])
        assert connections.project_id == 1
    with database.reading() as connections:
        assert list(state.load_states(connections.project)) == ["markets"]
    assert names(database.control) == []

    def fail_halfway() -> None:
        with database.writing() as connections:
            state.ensure_rows(connections.project, ["ticks"])
            _create_run(connections.control)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert names(database.project) == ["markets"]
    with database.reading() as connections:
        assert runs.list_runs(connections.control) == []
    database.close()


def test_a_project_s_tables_are_not_found_in_the_server_s_database(engine: sa.Engine, tmp_path: Path) -> None:
    """They are there, the default project's: whoever asks for them there has mixed up two connections."""
    database = Database(control=engine, project=open_engine(f"sqlite:///{tmp_path}/own.sqlite"), project_id=1)
    with pytest.raises(DatabaseError, match="project_in_another_database"), database.reading() as connections:
        state.load_states(connections.control)
    database.close()


def test_what_reads_consistently_sees_one_state_page_by_page(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        state.ensure_rows(conn, ["features", "markets"])
    with consistent(engine) as conn:
        assert sorted(state.load_states(conn)) == ["features", "markets"]
        with writing(engine) as other:
            state.ensure_rows(other, ["ticks"])
        query = sa.text("SELECT component FROM orchestrator_state ORDER BY component").execution_options(yield_per=1)
        assert list(conn.scalars(query)) == ["features", "markets"]
    assert names(engine) == ["features", "markets", "ticks"]


@pytest.mark.postgres
def test_a_look_at_a_server_is_one_round_trip(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with reading(engine) as conn:
        driver: Any = conn.connection.driver_connection
        state.load_states(conn)
        assert driver.info.transaction_status.name == "IDLE"  # none is begun, so that none is to be ended
    engine.dispose()


@pytest.mark.postgres
def test_schemas_of_one_database_are_one_transaction(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    database, other = (Database(engine, of_project(engine, number), number) for number in (1, 2))
    for one in (database, other):
        migrations.ensure_current(one.project, automatic=True)

    def write(*, fail: bool) -> None:
        with database.writing() as connections:
            assert connections.control is connections.project
            state.ensure_rows(connections.project, ["markets"])
            _create_run(connections.control)
            if fail:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(fail=True)
    with database.reading() as connections:
        assert (state.load_states(connections.project), runs.list_runs(connections.control)) == ({}, [])
    write(fail=False)
    with database.reading() as connections:
        assert [*state.load_states(connections.project)] == ["markets"]
        assert len(runs.list_runs(connections.control)) == 1
    assert (names(engine), names(other.project)) == ([], [])  # the default project's, and another one's
    database.close()


@pytest.mark.postgres
def test_what_is_compiled_once_serves_each_schema(postgres_url: str) -> None:
    """One cache of compiled statements serves all schemas of an engine, also from several threads."""
    engine = open_engine(postgres_url)
    places = {f"of {number}": of_project(engine, number) for number in (1, 2, 3)}
    for name, one in places.items():
        migrations.ensure_current(one, automatic=True)
        with writing(one) as conn:
            state.ensure_rows(conn, [name, "every"])
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: (name, names(places[name])), [*places] * 20))
    assert all(listed == ["every", name] for name, listed in found)
    with writing(places["of 2"]) as conn:
        state.mark_dirty(conn, "every", Mark(reason="because"))
    with writing(engine) as conn:
        state.ensure_rows(conn, ["every"])
    marks = {name: state.load_states(conn)["every"].mark for name, conn in _each(places)}
    assert [name for name, mark in marks.items() if mark is not None and mark.reason == "because"] == ["of 2"]
    engine.dispose()


def _each(places: Mapping[str, sa.Engine]) -> Iterator[tuple[str, sa.Connection]]:
    for name, one in places.items():
        with reading(one) as conn:
            yield name, conn


def _create_run(conn: sa.Connection) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    runs.create_run(conn, project_id=0, goal="x", targets=(), force=(), trigger="person", now=now)


def test_sqlite_loses_no_update_of_four_processes_that_read_and_then_write(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        state.ensure_rows(conn, ["markets"])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", COUNT_UP, sqlite_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(PROJECT / "src")},
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    with reading(engine) as conn:
        assert conn.scalar(sa.text("SELECT run_count FROM orchestrator_state")) == 100
    engine.dispose()


def test_a_locked_database_may_be_tried_again(sqlite_url: str) -> None:
    holder, other = open_engine(sqlite_url), open_engine(f"{sqlite_url}?timeout=0.05")
    with writing(holder), pytest.raises(DatabaseUnavailable, match="locked") as caught, writing(other):
        pass
    assert caught.value.transient
    with writing(other) as conn:  # and it works when the lock is gone
        state.ensure_rows(conn, ["markets"])
    holder.dispose()
    other.dispose()


def test_readers_go_on_while_someone_writes(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        state.ensure_rows(conn, ["markets"])
        assert names(engine) == []
    assert names(engine) == ["markets"]


@pytest.mark.parametrize("replaced", [True, False])
def test_nothing_is_committed_into_a_file_that_is_gone(sqlite_url: str, replaced: bool) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    copy = path.with_suffix(".copy")
    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        state.ensure_rows(conn, ["markets"])
    shutil.copy(path, copy)

    def write_into_the_void() -> None:
        with writing(engine) as conn:
            state.ensure_rows(conn, ["ticks"])
            if replaced:
                copy.replace(path)
            else:
                path.unlink()

    with pytest.raises(DatabaseError, match="deleted or replaced") as caught:
        write_into_the_void()
    assert caught.value.fix
    engine.dispose()
    with pytest.raises(DatabaseError, match="deleted or replaced"):
        names(engine)
    assert path.exists() == replaced, "no empty file was made in its place"
    if replaced:
        fresh = open_engine(sqlite_url)
        assert "ticks" not in names(fresh)
        fresh.dispose()


def test_a_lock_timeout_on_postgres_may_be_tried_again(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with writing(engine) as conn:
        state.ensure_rows(conn, ["markets"])
    with writing(engine) as conn:
        conn.execute(sa.text("UPDATE orchestrator_state SET run_count = 1"))
        statement = sa.text("SET LOCAL lock_timeout = '20ms'; UPDATE orchestrator_state SET run_count = 2")
        with pytest.raises(DatabaseUnavailable), writing(engine) as late:
            late.execute(statement)
    engine.dispose()


def test_a_cut_connection_may_be_tried_again_and_the_next_one_works(postgres_url: str) -> None:
    engine, other = open_engine(postgres_url), open_engine(postgres_url)

    def be_cut() -> None:
        with writing(engine) as conn:
            own = conn.scalar(sa.text("SELECT pg_backend_pid()"))
            with writing(other) as killer:
                killer.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": own})
            conn.execute(sa.text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable) as caught:
        be_cut()
    assert caught.value.transient
    assert names(engine) == []
    engine.dispose()
    other.dispose()


def test_time_is_the_databases_and_moves_within_a_transaction(engine: sa.Engine) -> None:
    with reading(engine) as conn:
        first = database_now(conn)
        while database_now(conn) == first:
            pass
        assert first.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - first) < timedelta(seconds=30)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "cannot be read"),
        ("mysql://u:secret@host/db", "'mysql' are not supported"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("postgresql://u:secret@host/db?schema=a;drop", "no schema name"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(DatabaseError, match=says) as caught:
        open_engine(url)
    assert caught.value.fix
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    engine = open_engine("postgresql://someone:secret@127.0.0.1:1/tidemill")
    with pytest.raises(DatabaseUnavailable) as caught, reading(engine):
        pass
    text = str(caught.value)
    assert "127.0.0.1" in text
    assert "check that the server runs" in text
    assert "secret" not in text


def test_a_database_the_server_does_not_have_is_not_tried_again(postgres_url: str) -> None:
    engine = open_engine(postgres_url.replace("/test_", "/no_such_"))
    with pytest.raises(DatabaseError, match="create it on the server") as caught, reading(engine):
        pass
    assert not caught.value.transient


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at " * 20)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(DatabaseError, match="file is not a database") as caught, reading(engine):
        pass
    assert str(path) in caught.value.where
    assert not caught.value.transient


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseError, match="cannot make the database's folder"):
        open_engine(f"sqlite:///{tmp_path}/file/state.sqlite")


def test_missing_tables_say_how_to_make_them(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/new.sqlite")
    with pytest.raises(DatabaseError, match="agent db upgrade"):
        names(engine)
    engine.dispose()


def test_numbers_that_json_has_not_become_null() -> None:
    assert to_json({"a": [float("nan"), 1.5], "b": float("-inf")}) == '{"a": [null, 1.5], "b": null}'
    assert to_json({"at": datetime(2026, 1, 31, tzinfo=UTC)}) == '{"at": "2026-01-31 00:00:00+00:00"}'


def test_json_that_is_none_is_told_by_its_text(sqlite_url: str) -> None:
    """PostgreSQL does not take it in the first place."""
    engine = open_engine(sqlite_url)
    broken = sa.text("UPDATE runs SET targets = '[\"markets' WHERE id = 1")
    with writing(engine) as conn:
        runs.create_run(conn, project_id=0, goal="x", targets=(), force=(), trigger="person", now=datetime.now(UTC))
        conn.execute(broken)
    with (
        pytest.raises(DatabaseError, match=re.escape("""holds none: '["markets'""")) as caught,
        reading(engine) as conn,
    ):
        runs.list_runs(conn)
    assert caught.value.where == sqlite_url
    assert not caught.value.transient
    engine.dispose()
