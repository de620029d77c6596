"""The migrations: up, down, no drift against tables.py, with rows in it, and several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.errors import DatabaseError
from agent.store import leases
from agent.store.control import events, runs, schedules
from agent.store.database import migrations
from agent.store.database.engine import open_engine, reading, writing
from agent.store.tables import in_one_schema
from tests.lazy import Lazy
from tests.paths import PROJECT

pytestmark = pytest.mark.from_nothing

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


# is_dirty, dirty_reason, dirty_partitions, has run -> is_dirty, dirty_reason, is marked, words, partitions.
MARKS_BEFORE: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "clean": ((False, None, None, True), (False, None, False, None, None)),
    "shown": ((True, "[auto] ticks changed", "[]", True), (True, "ticks changed", False, None, None)),
    "given_up": ((True, "the last attempt failed", "[]", True), (True, "the last attempt failed", False, None, None)),
    "by_sql": ((True, None, None, True), (True, None, True, None, None)),
    "by_ann": ((True, "ann: bad", None, True), (True, None, True, "ann: bad", None)),
    "keys": ((True, "ann: bad; [auto] x", '["2013"]', True), (True, "x", True, "ann: bad", '["2013"]')),
    "new": ((True, "[auto] it has never run", "[]", False), (True, "it has never run", False, None, None)),
    "bare": ((True, None, None, False), (True, "it has not been looked at yet", False, None, None)),
    "new_by_ann": ((True, "ann: now", None, False), (True, None, True, "ann: now", None)),
    "leftover": ((False, "old", '["1"]', True), (False, None, False, None, None)),
    "broken": ((True, "ann: x", '["', True), (True, None, True, "ann: x", '["')),
}


def test_marks_are_carried_over_and_back(engine: sa.Engine) -> None:
    is_postgres = engine.dialect.name == "postgresql"
    cases = {name: case for name, case in MARKS_BEFORE.items() if name != "broken" or not is_postgres}
    migrations.downgrade(engine, "0001")
    with writing(engine) as conn:
        for name, ((is_dirty, reason, keys, has_run), _) in cases.items():
            conn.execute(
                sa.text(
                    "INSERT INTO orchestrator_state (component, is_dirty, dirty_reason, dirty_partitions,"
                    f" code_version, output_snapshot_id) VALUES (:name, :dirty, :reason, {_json(engine)}, :code, :id)"
                ),
                {
                    "name": name,
                    "dirty": is_dirty,
                    "reason": reason,
                    "keys": keys,
                    "code": "c" if has_run else None,
                    "id": 1 if has_run else None,
                },
            )
    migrations.upgrade(engine)
    query = sa.text(
        "SELECT component, is_dirty, dirty_reason, marked_at IS NOT NULL AS marked, marked_reason,"
        " CAST(marked_partitions AS VARCHAR(99)) AS keys FROM orchestrator_state"
    )
    with reading(engine) as conn:
        found = {row.component: tuple(row)[1:] for row in conn.execute(query)}
    assert found == {name: after for name, (_, after) in cases.items()}
    migrations.downgrade(engine, "0001")
    query = sa.text(
        "SELECT component, is_dirty, dirty_reason, CAST(dirty_partitions AS VARCHAR(99)) FROM orchestrator_state"
    )
    with writing(engine) as conn:
        found = {row.component: tuple(row)[1:] for row in conn.execute(query)}
        # The trigger of that version is there again.
        conn.execute(sa.text("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'shown'"))
        again = conn.execute(
            sa.text("SELECT dirty_partitions FROM orchestrator_state WHERE component = 'shown'")
        ).scalar()
    assert again is None
    lossless = {"clean", "shown", "by_sql", "by_ann", "keys", "new", "new_by_ann"}
    assert {name: found[name] for name in lossless} == {name: cases[name][0][:3] for name in lossless}
    migrations.upgrade(engine)


def _json(engine: sa.Engine) -> str:
    return "CAST(:keys AS JSON)" if engine.dialect.name == "postgresql" else ":keys"


_MARKET = "INSERT INTO markets (market_id, source, external_id, kind, status, interval_seconds, updated_at)"
_PREDICTION = (
    "INSERT INTO predictions (market_id, ts, model_version, price, probability, confidence, edge, horizon_bars,"
    " horizon_end_at, snapshot_id, created_at) VALUES ('m', CURRENT_DATE, :model, 1, 0.5, 0, 0, 5, CURRENT_TIMESTAMP,"
    " :snapshot, CURRENT_TIMESTAMP)"
)


def test_markets_and_predictions_of_the_first_release_keep_their_rows(engine: sa.Engine) -> None:
    migrations.downgrade(engine, "0001")
    with writing(engine) as conn:
        conn.execute(sa.text(f"{_MARKET} VALUES ('m', 's', 'm', 'spot', 'open', 300, CURRENT_TIMESTAMP)"))
        conn.execute(sa.text(f"{_MARKET} VALUES ('t', 's', 't', 'spot', 'open', NULL, CURRENT_TIMESTAMP)"))
        for snapshot, model in enumerate(("one", "two")):
            conn.execute(sa.text(_PREDICTION), {"model": model, "snapshot": snapshot})
    migrations.upgrade(engine)
    with writing(engine) as conn:
        markets = conn.execute(sa.text('SELECT "interval", interval_seconds FROM markets ORDER BY market_id')).all()
        assert markets == [("300s", 300), (None, None)]
        found = conn.execute(sa.text("SELECT id, model_version, superseded_by FROM predictions ORDER BY id")).all()
        assert [(row.model_version, row.superseded_by) for row in found] == [("one", found[1].id), ("two", None)]
        # One model may speak of the same bar again, and a number that was given never comes back.
        conn.execute(sa.text(_PREDICTION), {"model": "two", "snapshot": 9})
        conn.execute(sa.text("DELETE FROM predictions WHERE snapshot_id = 9"))
        conn.execute(sa.text(_PREDICTION), {"model": "two", "snapshot": 10})
        assert conn.scalar(sa.text("SELECT max(id) FROM predictions")) > found[1].id + 1
    migrations.downgrade(engine, "0001")
    with reading(engine) as conn:
        kept = conn.execute(sa.text("SELECT model_version, snapshot_id FROM predictions ORDER BY id")).all()
        assert kept == [("one", 0), ("two", 10)], "the newer of two by one model"
    migrations.upgrade(engine)


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
    for move in (migrations.upgrade, migrations.downgrade):  # in the same words
        with pytest.raises(DatabaseError, match="at version 9999, newer than this program") as refused:
            move(engine, "0001")
        assert "nothing was changed" in refused.value.fix


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
        "import sys; from agent.store.database import engine, migrations\n"
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


# --- databases of the first version, with rows ---------------------------------------------------------------------
