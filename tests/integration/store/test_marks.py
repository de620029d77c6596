"""Marks in orchestrator_state: whatever a person writes there, by whatever program, and whatever else happens."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.model import Mark, State
from agent.store import state
from agent.store.database.engine import open_engine, reading, writing
from tests.integration.store.conftest import NOW
from tests.integration.store.test_state import SUCCESS, begin, succeed

SET = "UPDATE orchestrator_state SET is_dirty = true WHERE component = 'features'"
CLEAR = "UPDATE orchestrator_state SET is_dirty = false WHERE component = 'features'"
ANN = Mark("ann", NOW, "late prices", ("2013",))


def put(*columns: str) -> str:
    return f"UPDATE orchestrator_state SET {', '.join(columns)} WHERE component = 'features'"


# What a person writes -> (their words, their partitions), where the row is clean or shows a reason.
SETTING: dict[str, tuple[str, tuple[str, ...] | None]] = {
    SET: ("", None),
    "UPDATE orchestrator_state SET is_dirty = true": ("", None),
    put("is_dirty = true", "dirty_reason = 'ann: late'"): ("ann: late", None),
    put("dirty_reason = 'ann: late'", "is_dirty = true"): ("ann: late", None),
    put("is_dirty = true", "dirty_reason = NULL"): ("", None),
    put("is_dirty = true", "marked_reason = 'late'"): ("late", None),
    put("is_dirty = true", """marked_partitions = '["2013"]'"""): ("", ("2013",)),
    put("marked_reason = 'late'", """marked_partitions = '["2013"]'""", "is_dirty = true"): ("late", ("2013",)),
    put("is_dirty = NOT is_dirty OR is_dirty"): ("", None),
    put("marked_at = CURRENT_TIMESTAMP", "marked_reason = 'late'"): ("late", None),
}
CLEARING = (
    CLEAR,
    put("is_dirty = false", "dirty_reason = NULL"),
    put("is_dirty = false", "marked_at = NULL"),
    put("marked_at = NULL"),
    put("marked_at = NULL", "is_dirty = false", "dirty_reason = NULL"),
)


@contextmanager
def plain(url: str) -> Iterator[Callable[[str], Any]]:
    """A person's connection, without SQLAlchemy and without anything that this program sets on its own."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        connection = psycopg.connect(url, autocommit=True)
    try:
        yield connection.execute
    finally:
        connection.close()


def row(engine: sa.Engine) -> State:
    with reading(engine) as conn:
        return state.load_states(conn)["features"]


def _begin_with(engine: sa.Engine, *, reason: str | None) -> None:
    with writing(engine) as conn:
        state.ensure_rows(conn, ["features"])
        succeed(conn)
        state.show_reasons(conn, {"features": reason})


@pytest.mark.parametrize("reason", [None, "ticks changed"])
def test_every_update_that_sets_the_flag_marks(database_url: str, reason: str | None) -> None:
    engine = open_engine(database_url)
    with plain(database_url) as execute:
        for update, (words, keys) in SETTING.items():
            _begin_with(engine, reason=reason)
            assert row(engine).is_dirty == (reason is not None)
            execute(update)
            found = row(engine)
            assert found.mark is not None, update
            assert (found.is_dirty, found.mark.reason, found.mark.partitions) == (True, words, keys), update
            assert found.mark.by.startswith("SQL") == ("is_dirty" in update), update
            kept = None if "dirty_reason = NULL" in update else reason
            assert found.dirty_reason == kept, update
            execute(SET)  # set again: wider, with the words that were there
            assert row(engine).mark is not None
            assert (row(engine).mark or Mark()).partitions is None
            assert (row(engine).mark or Mark()).reason == words
            execute(CLEAR)
            assert (row(engine).mark, row(engine).is_dirty, row(engine).dirty_reason) == (None, kept is not None, kept)
    engine.dispose()


@pytest.mark.parametrize("reason", [None, "ticks changed"])
def test_every_update_that_clears_the_flag_removes_the_mark_alone(database_url: str, reason: str | None) -> None:
    engine = open_engine(database_url)
    with plain(database_url) as execute:
        for update in CLEARING:
            _begin_with(engine, reason=reason)
            with writing(engine) as conn:
                state.mark_dirty(conn, "features", ANN)
            execute(update)
            kept = None if "dirty_reason = NULL" in update else reason
            found = row(engine)
            assert (found.mark, found.dirty_reason, found.is_dirty) == (None, kept, kept is not None), update
            execute(update)  # nothing to clear any more
            assert row(engine) == found, update
    engine.dispose()


def test_the_words_of_an_earlier_mark_stay_with_their_author(database_url: str) -> None:
    engine = open_engine(database_url)
    _begin_with(engine, reason=None)
    with writing(engine) as conn:
        state.mark_dirty(conn, "features", ANN)
    with plain(database_url) as execute:
        execute(SET)
        mark = row(engine).mark or Mark()
        assert (mark.by[:3], mark.reason, mark.partitions) == ("SQL", "ann: late prices", None)
        execute(SET)
        assert (row(engine).mark or Mark()).reason == "ann: late prices"
    engine.dispose()


@pytest.mark.parametrize("ending", ["succeeds", "fails", "is given up"])
@pytest.mark.parametrize("update", [SET, put("is_dirty = true", "marked_reason = 'late'")])
def test_a_mark_set_while_it_runs_outlives_every_end(database_url: str, update: str, ending: str) -> None:
    engine = open_engine(database_url)
    _begin_with(engine, reason=None)
    with writing(engine) as conn:
        token = begin(conn)
    assert not row(engine).is_dirty
    with plain(database_url) as execute:
        execute(CLEAR)
        assert (row(engine).is_dirty, row(engine).mark) == (False, None)
        execute(update)
    with writing(engine) as conn:
        if ending == "succeeds":
            assert state.commit_success(conn, "features", token, **SUCCESS)
        elif ending == "fails":
            assert state.commit_failure(conn, "features", token, now=NOW, error="x", next_retry_at=None)
        else:
            assert state.give_up_attempt(conn, "features", token)
    found = row(engine)
    assert found.is_dirty
    assert found.mark is not None
    assert found.mark.partitions is None
    engine.dispose()


def test_text_that_means_true_sets_the_flag_on_sqlite_too(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with plain(sqlite_url) as execute:
        for value in ("'true'", "'TRUE'", "'yes'", "1", "5", "'1'"):
            _begin_with(engine, reason=None)
            execute(put(f"is_dirty = {value}"))
            assert row(engine).mark is not None, value
        for value in ("'false'", "0", "'no'"):
            execute(SET)
            execute(put(f"is_dirty = {value}"))
            assert (row(engine).mark, row(engine).is_dirty) == (None, False), value
    engine.dispose()


def test_triggers_that_trigger_triggers_change_nothing(sqlite_url: str) -> None:
    """A person's program may switch recursive triggers on."""
    engine = open_engine(sqlite_url)
    _begin_with(engine, reason="ticks changed")
    with plain(sqlite_url) as execute:
        execute("PRAGMA recursive_triggers = ON")
        execute(SET)
        assert (row(engine).is_dirty, row(engine).mark is not None) == (True, True)
        execute(CLEAR)
        assert (row(engine).is_dirty, row(engine).mark) == (True, None)
        execute(put("dirty_reason = NULL"))
        assert (row(engine).is_dirty, row(engine).mark) == (False, None)
        execute(put("dirty_reason = 'x'"))
        assert (row(engine).is_dirty, row(engine).mark) == (True, None)
    engine.dispose()


class Undone(Exception):
    """Rolls an example back, so that the next one finds a new row."""


STEPS = st.lists(
    st.one_of(
        st.sampled_from(sorted(SETTING)).map(lambda sql: ("sets", sql)),
        st.sampled_from(CLEARING).map(lambda sql: ("clears", sql)),
        st.sampled_from([None, "ticks changed", "code changed"]).map(lambda text: ("shows", text)),
        st.sampled_from([None, ("2012",), ("2012", "2013")]).map(lambda keys: ("marks", keys)),
        st.just(("begins", None)),
        st.sampled_from(["succeeds", "fails", "gives up"]).map(lambda end: ("ends", end)),
        st.sampled_from(["x", None]).map(lambda text: ("edits the display", text)),
    ),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_history_keeps_marks_and_shows_what_is_there(engine: sa.Engine, steps: list[tuple[str, Any]]) -> None:
    """After every step the flag agrees with mark and reason; a mark goes by a person or the start of an attempt."""
    is_marked, token = False, None
    with contextlib.suppress(Undone), writing(engine) as conn:
        state.ensure_rows(conn, ["features"])
        succeed(conn)
        for what, detail in steps:
            match what:
                case "sets":
                    conn.exec_driver_sql(detail)
                    is_marked = True
                case "clears":
                    conn.exec_driver_sql(detail)
                    is_marked = False
                case "shows":
                    state.show_reasons(conn, {"features": detail})
                case "marks":
                    state.mark_dirty(conn, "features", Mark("ann", NOW, "x", detail))
                    is_marked = True
                case "begins" if token is None:
                    token = begin(conn)
                    is_marked = False
                case "ends" if token is not None:
                    if detail == "succeeds":
                        assert state.commit_success(conn, "features", token, **SUCCESS)
                    elif detail == "fails":
                        assert state.commit_failure(conn, "features", token, now=NOW, error="x", next_retry_at=None)
                    else:
                        assert state.give_up_attempt(conn, "features", token)
                    token = None
                case "edits the display":
                    conn.execute(sa.text(put("dirty_reason = :text")), {"text": detail})
            found = state.load_states(conn)["features"]
            assert (found.mark is not None) == is_marked, (what, detail)
            assert found.is_dirty == (is_marked or found.dirty_reason is not None), (what, detail)
            if what == "shows":
                assert found.dirty_reason == detail
        raise Undone
