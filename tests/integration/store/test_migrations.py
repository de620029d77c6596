"""The migrations: up, down, no drift against tables.py, with rows in it, and several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.errors import DatabaseError
from agent.store import events, leases, migrations, runs, schedules
from agent.store.engine import open_engine, reading, writing
from agent.store.tables import in_one_schema
from tests.lazy import Lazy
from tests.paths import PROJECT

autogenerate, migration = Lazy("alembic.autogenerate"), Lazy("alembic.migration")


def table_names(engine: sa.Engine) -> set[str]:
    with reading(engine) as conn:
        return set(sa.inspect(conn).get_table_names()) - {"alembic_version"}


def test_migrated_tables_are_those_of_tables_py(engine: sa.Engine) -> None:
    with reading(engine) as conn:
        context = migration.MigrationContext.configure(conn, opts={"compare_server_default": True})
        assert autogenerate.compare_metadata(context, in_one_schema()) == []


def test_ids_are_not_given_twice_on_sqlite(sqlite_url: str) -> None:
    # compare_metadata does not see AUTOINCREMENT.
    engine = open_engine(sqlite_url)
    with reading(engine) as conn:
        rows = conn.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all()
    engine.dispose()
    wanted = {table.name for table in in_one_schema().sorted_tables if table.dialect_options["sqlite"]["autoincrement"]}
    assert {name for name, sql in rows if "AUTOINCREMENT" in sql} == wanted
    assert {"runs", "attempts", "snapshots"} <= wanted


def test_up_and_down_again_with_rows(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        conn.execute(sa.text("INSERT INTO orchestrator_state (component) VALUES ('ticks')"))
        conn.execute(
            sa.text(
                "INSERT INTO runs (project_id, goal, targets, force, trigger, status, created_at)"
                " VALUES (0, 'g', '[]', '[]', 'person', 'QUEUED', CURRENT_TIMESTAMP)"
            )
        )
    assert table_names(engine) == set(in_one_schema().tables)
    migrations.downgrade(engine, "base")
    assert table_names(engine) == set()
    migrations.upgrade(engine)
    assert table_names(engine) == set(in_one_schema().tables)


_ROWS_OF_0001 = (
    "INSERT INTO orchestrator_state (component, lease_owner, lease_token) VALUES ('ticks', 'h/b/n/1/2', 3)",
    """INSERT INTO runs (project_id, goal, targets, force, trigger, status, owner, lease_expires_at, created_at) VALUES
    (0, 'mine', '[]', '[]', 'person', 'RUNNING', 'h/b/n/1/2', '2026-01-02 00:00:00', '2026-01-01 00:00:00')""",
    "INSERT INTO events (run_id, seq, type, payload, created_at) VALUES (1, 1, 'RUN_CREATED', '{}', '2026-01-01')",
    "UPDATE runner SET state = 'running', lease_owner = 'h/b/n/1/2', lease_token = 7, lease_expires_at = '2026-01-01'",
    "INSERT INTO schedules (name, rule, next_due_at) VALUES ('orchestrator', 'interval 60 s', '2026-01-01 00:00:00')",
)


def test_rows_of_the_first_release_are_kept(database_url: str) -> None:
    """A run that an old process carries out is known, its lease of no token; that of the runner goes on."""
    engine = open_engine(database_url)
    migrations.downgrade(engine, "0001")
    with writing(engine) as conn:
        for statement in _ROWS_OF_0001:
            conn.execute(sa.text(statement))
    migrations.upgrade(engine)
    with writing(engine) as conn:
        run = runs.load_run(conn, 1)
        assert (run.goal, run.owner, run.lease_token, run.lease_taken_at) == ("mine", "h/b/n/1/2", 0, None)
        assert leases.take(conn, "component:ticks", "h/b/n/2/2", 60) == leases.Lease("component:ticks", 4, "h/b/n/1/2")
        assert leases.take(conn, leases.RUNNER, "h/b/n/2/2", 60).token == 8
        assert [one.id for one in runs.abandon_runs(conn, run.created_at)] == [1]  # its lease has ended
        assert schedules.load_due(conn, "orchestrator") is not None
        assert len(events.load_events(conn, 1)) == 2  # and the one about its end
    migrations.downgrade(engine, "0001")
    migrations.upgrade(engine)
    with reading(engine) as conn:
        assert runs.load_run(conn, 1).status == "FAILED"
    engine.dispose()


def test_default_project_and_runner_are_there(engine: sa.Engine) -> None:
    with reading(engine) as conn:
        assert conn.execute(sa.text("SELECT id, name FROM projects")).all() == [(0, "default")]
        assert conn.execute(sa.text("SELECT id, state FROM runner")).all() == [(1, "stopped")]


def test_an_empty_database_is_migrated_only_where_that_is_wanted(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/deep/below/new.sqlite")
    with pytest.raises(DatabaseError, match=r"has no tables yet\n.*\n.*agent db upgrade"):
        migrations.ensure_current(engine, automatic=False)
    migrations.ensure_current(engine, automatic=True)
    migrations.ensure_current(engine, automatic=False)
    assert table_names(engine) == set(in_one_schema().tables)
    engine.dispose()


def test_a_newer_database_is_refused(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer than this program"):
        migrations.ensure_current(engine, automatic=True)


def test_a_schema_in_the_url_is_made_and_used(postgres_url: str) -> None:
    mark = "&" if "?" in postgres_url else "?"
    engine, other = open_engine(f"{postgres_url}{mark}schema=project_7"), open_engine(postgres_url)
    migrations.ensure_current(engine, automatic=True)
    with writing(engine) as conn:
        conn.execute(sa.text("INSERT INTO orchestrator_state (component) VALUES ('ticks')"))
        assert conn.scalar(sa.text("SELECT current_schema()")) == "project_7"
    with reading(other) as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM orchestrator_state")) == 0
        assert conn.scalar(sa.text("SELECT count(*) FROM project_7.orchestrator_state")) == 1
    engine.dispose()
    other.dispose()


def test_four_processes_may_make_the_same_database(tmp_path: Path) -> None:
    code = (
        "import sys; from agent.store import engine, migrations\n"
        "e = engine.open_engine(sys.argv[1]); sys.stdin.readline(); migrations.ensure_current(e, automatic=True)"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/s.sqlite"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment())
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], outputs


def test_alembic_upgrade_head_works_from_the_checkout(tmp_path: Path) -> None:
    """As seed 004 says, with the URL from the same settings as everything else."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {"PATH": "/usr/bin:/bin", "AGENT_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    engine = open_engine(f"sqlite:///{tmp_path}/state.sqlite")
    assert table_names(engine) == set(in_one_schema().tables)
    engine.dispose()


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT / "src")}
