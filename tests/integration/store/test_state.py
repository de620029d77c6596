"""orchestrator_state: marks, fencing, counts, and what people do to it by hand."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from agent import identity
from agent.core.model import InputRecord, Mark, State
from agent.errors import Busy, DatabaseError, NotFound
from agent.store import leases, state
from agent.store.database.engine import open_engine, reading, writing
from tests.integration.store.conftest import NOW
from tests.paths import SHARED

LATER = NOW + timedelta(hours=1)
COMPONENTS = ("markets", "ticks", "features", "model", "inference", "backtest", "publish")
SUCCESS: dict[str, Any] = {
    "now": NOW,
    "code_version": "c1",
    "code_files": {"pipelines.components.features": {"build": "h1"}},
    "settings_hash": "s1",
    "settings": {"window": 5},
    "libraries": {"polars": "2.1"},
    "inputs": {"ticks": InputRecord(3, "v1", "r1")},
    "output_version": "o1",
    "output_snapshot_id": 9,
    "output_rows": 1000,
    "duration_s": 1.5,
}


def whole(row: State) -> bool:
    """Whether somebody asked for the whole component."""
    return row.mark is not None and row.mark.partitions is None


@pytest.fixture
def conn(engine: sa.Engine) -> Any:
    with writing(engine) as conn:
        state.ensure_rows(conn, COMPONENTS)
        yield conn


def begin(conn: sa.Connection, component: str = "features") -> int:
    free = leases.find_free(conn, leases.of_component(component))
    return state.begin_attempt(conn, free, identity.own(), 60).token


def succeed(conn: sa.Connection, component: str = "features") -> None:
    assert state.commit_success(conn, component, begin(conn, component), **SUCCESS)


def test_new_rows_are_dirty_and_known_ones_stay(conn: sa.Connection) -> None:
    succeed(conn)
    state.ensure_rows(conn, [*COMPONENTS, "own"])
    states = state.load_states(conn)
    assert set(states) == {*COMPONENTS, "own"}
    own = states["own"]
    assert (own.is_dirty, own.dirty_reason, own.mark) == (True, "it has never run", None)
    assert not states["features"].is_dirty


def test_a_success_is_recorded_whole(conn: sa.Connection) -> None:
    succeed(conn)
    found = state.load_states(conn)["features"]
    assert (found.run_count, found.failure_count, found.status, found.is_dirty) == (1, 0, "idle", False)
    assert found.last_run_at == NOW
    assert found.inputs == SUCCESS["inputs"]
    assert found.code_files == SUCCESS["code_files"]
    assert (found.settings, found.libraries) == (SUCCESS["settings"], SUCCESS["libraries"])
    assert (found.output_version, found.output_snapshot_id, found.output_rows) == ("o1", 9, 1000)
    assert found.lease_owner is None


def test_a_failure_keeps_the_last_success(conn: sa.Connection) -> None:
    succeed(conn)
    assert state.commit_failure(conn, "features", begin(conn), now=NOW, error="bad\x00 row \ud800", next_retry_at=NOW)
    found = state.load_states(conn)["features"]
    assert (found.run_count, found.failure_count, found.consecutive_failures) == (1, 1, 1)
    assert (found.status, found.is_dirty, found.output_version) == ("failed", True, "o1")
    assert found.last_error is not None
    assert found.last_error.startswith("bad")
    assert found.mark is None  # the flag only shows it: nobody asked for a recompute
    succeed(conn)
    found = state.load_states(conn)["features"]
    assert (found.consecutive_failures, found.last_error, found.next_retry_at) == (0, None, None)


def test_a_mark_set_while_the_component_runs_survives_its_success(conn: sa.Connection) -> None:
    token = begin(conn)
    conn.execute(sa.text("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'features'"))
    assert state.commit_success(conn, "features", token, **SUCCESS)
    found = state.load_states(conn)["features"]
    assert found.is_dirty
    assert whole(found)
    succeed(conn)
    assert not state.load_states(conn)["features"].is_dirty


def test_a_mark_set_while_the_component_runs_survives_its_failure(conn: sa.Connection) -> None:
    token = begin(conn)
    state.mark_dirty(conn, "features", Mark("ann", NOW, "wrong prices", ("2013",)))
    assert state.commit_failure(conn, "features", token, now=NOW, error="x", next_retry_at=None)
    found = state.load_states(conn)["features"]
    assert (found.mark, found.dirty_reason) == (Mark("ann", NOW, "wrong prices", ("2013",)), "the last attempt failed")


def test_an_old_token_changes_nothing(conn: sa.Connection) -> None:
    old = begin(conn)
    conn.execute(sa.text("UPDATE orchestrator_state SET lease_expires_at = NULL"))
    new = leases.take(conn, leases.of_component("features"), "elsewhere/b/n/1/2", 60)
    assert new.token > old
    before = state.load_states(conn)["features"]
    overtaken = leases.Free(leases.Lease(leases.of_component("features"), old), NOW)
    with pytest.raises(Busy):
        state.begin_attempt(conn, overtaken, identity.own(), 60)
    assert state.hold(conn, "features", old) is None
    assert not state.commit_success(conn, "features", old, **SUCCESS)
    assert not state.commit_failure(conn, "features", old, now=NOW, error="x", next_retry_at=None)
    assert not leases.extend(conn, leases.of_component("features"), old, 60)
    assert not leases.release(conn, leases.of_component("features"), old)
    assert not state.give_up_attempt(conn, "features", old)
    assert state.load_states(conn)["features"] == before


def test_a_token_given_back_commits_nothing(conn: sa.Connection) -> None:
    token = begin(conn)
    assert state.give_up_attempt(conn, "features", token)
    assert not state.commit_success(conn, "features", token, **SUCCESS)


def test_marks_add_up(conn: sa.Connection) -> None:
    succeed(conn)
    state.mark_dirty(conn, "features", Mark("ann", NOW, "late ticks", ("2013",)))
    state.mark_dirty(conn, "features", Mark("bob", LATER, "bad day", ("2012", "2013")))
    found = state.load_states(conn)["features"]
    assert (found.is_dirty, found.mark) == (True, Mark("bob", LATER, "bad day; ann: late ticks", ("2012", "2013")))
    state.mark_dirty(conn, "features", Mark("bob", LATER, "all of it"))
    state.mark_dirty(conn, "features", Mark("bob", LATER, "and one", ("2011",)))
    assert whole(state.load_states(conn)["features"])


def test_marking_a_component_that_is_not_there_names_those_that_are(conn: sa.Connection) -> None:
    with pytest.raises(NotFound, match=r"'feature'\n.*\n.*known are: backtest, features"):
        state.mark_dirty(conn, "feature", Mark(reason="typo"))


def test_the_flag_shows_a_cause_and_goes_with_it(conn: sa.Connection) -> None:
    succeed(conn)
    state.show_reasons(conn, {"features": "settings changed: window"})
    found = state.load_states(conn)["features"]
    assert (found.is_dirty, found.dirty_reason, found.mark) == (True, "settings changed: window", None)
    state.show_reasons(conn, {"features": None})
    found = state.load_states(conn)["features"]
    assert (found.is_dirty, found.dirty_reason, found.mark) == (False, None, None)


def test_an_evaluation_never_clears_a_persons_mark(conn: sa.Connection) -> None:
    succeed(conn)
    conn.execute(sa.text("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'features'"))
    state.mark_dirty(conn, "ticks", Mark(reason="late ticks", partitions=("2013",)))
    state.show_reasons(conn, {"features": None, "ticks": None})
    states = state.load_states(conn)
    assert (states["features"].is_dirty, states["ticks"].is_dirty) == (True, True)


def test_a_mark_by_sql_counts_where_the_flag_shows_a_cause_already(conn: sa.Connection) -> None:
    succeed(conn, "model")
    state.show_reasons(conn, {"model": "features changed, deferred for 3 days"})
    conn.execute(sa.text("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'model'"))
    state.show_reasons(conn, {"model": None})
    found = state.load_states(conn)["model"]
    assert (found.is_dirty, found.dirty_reason) == (True, None)
    assert whole(found)


def test_reasons_do_not_take_the_keys_of_a_persons_mark(conn: sa.Connection) -> None:
    succeed(conn)
    mark = Mark("ann", NOW, "late ticks", ("2013",))
    state.mark_dirty(conn, "features", mark)
    state.show_reasons(conn, {"features": "ticks changed"})
    found = state.load_states(conn)["features"]
    assert (found.mark, found.dirty_reason) == (mark, "ticks changed")


def test_a_clean_evaluation_writes_nothing(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        state.ensure_rows(conn, COMPONENTS)
        succeed(conn)
        state.show_reasons(conn, {"ticks": "never run"})
        before = conn.scalar(sa.text("SELECT total_changes()"))
        state.show_reasons(conn, {"features": None, "ticks": "never run"})
        assert conn.scalar(sa.text("SELECT total_changes()")) == before
    engine.dispose()


def test_giving_up_an_attempt_shows_the_component_dirty_again(conn: sa.Connection) -> None:
    succeed(conn)
    token = begin(conn)
    assert state.give_up_attempt(conn, "features", token)
    found = state.load_states(conn)["features"]
    assert (found.status, found.is_dirty, found.mark) == ("idle", True, None)


def test_a_lease_given_back_before_the_attempt_leaves_a_clean_component_clean(conn: sa.Connection) -> None:
    succeed(conn)
    token = leases.take(conn, leases.of_component("features"), identity.own(), 60).token
    assert state.give_up_attempt(conn, "features", token)
    assert not state.load_states(conn)["features"].is_dirty


def test_broken_json_is_reported_and_makes_the_component_dirty(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        state.ensure_rows(conn, COMPONENTS)
        succeed(conn)
        succeed(conn, "ticks")
        conn.execute(
            sa.text(
                """UPDATE orchestrator_state
                   SET input_versions = '{"ticks": ', settings = '[1]', marked_partitions = '5'
                   WHERE component = 'features'"""
            )
        )
        with caplog.at_level(logging.WARNING):
            states = state.load_states(conn)
    engine.dispose()
    assert states["features"].is_dirty
    assert (states["features"].inputs, states["features"].settings) == ({}, {})
    assert "input_versions" in (states["features"].dirty_reason or "")
    assert "component features" in caplog.text
    assert states["ticks"].inputs == SUCCESS["inputs"]


def test_json_of_another_shape_is_unknown_on_postgres_too(conn: sa.Connection) -> None:
    succeed(conn)
    conn.execute(sa.text("""UPDATE orchestrator_state SET input_versions = '{"ticks": 5}', code_files = '"x"'"""))
    found = state.load_states(conn)["features"]
    assert (found.inputs, found.code_files, found.is_dirty) == ({}, {}, True)


def test_a_time_that_is_none_is_named(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        state.ensure_rows(conn, COMPONENTS)
        conn.execute(sa.text("UPDATE orchestrator_state SET next_retry_at = 'tomorrow'"))
    with pytest.raises(DatabaseError, match="'tomorrow'"), reading(engine) as conn:
        state.load_states(conn)
    engine.dispose()


def test_the_seeds_sql_works_to_the_letter(engine: sa.Engine) -> None:
    seed = SHARED / "seeds" / "004_orchestrator_usage.md"
    if not seed.is_file():
        pytest.skip(f"the seed is not here: {seed}")
    query = seed.read_text(encoding="utf-8").partition("```sql\n")[2].partition("```")[0].strip().removesuffix(";")
    with writing(engine) as conn:
        state.ensure_rows(conn, COMPONENTS)
        for component in COMPONENTS:
            succeed(conn, component)
    with writing(engine) as conn:
        touched = conn.exec_driver_sql("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'features'")
        assert touched.rowcount == 1
    with reading(engine) as conn:
        rows = conn.exec_driver_sql(query).all()
        states = state.load_states(conn)
    assert [row.component for row in rows] == sorted(COMPONENTS)
    assert [(row.run_count, row.failure_count) for row in rows] == [(1, 0)] * 7
    assert [name for name, one in states.items() if one.is_dirty] == ["features"]
    assert whole(states["features"])
