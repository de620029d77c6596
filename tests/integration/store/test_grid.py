"""The grid as read from the tables, on SQLite and PostgreSQL, and what is behind each of its cells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from agent.core.grid import Grid
from agent.errors import NotFound
from agent.execution.story import step_of
from agent.store.control.grid import load_grid
from agent.store.database.engine import Connections, reading
from tests.history import COMPONENTS, NEW_DATA, OUTCOMES, RUNS, write_history

NOW = datetime(2026, 11, 27, 7, tzinfo=UTC)


def loaded(engine: sa.Engine, **limits: int) -> Grid:
    with reading(engine) as conn:
        return load_grid(conn, 0, **limits)


def test_it_shows_what_happened_in_each_run(engine: sa.Engine, database_url: str) -> None:
    assert loaded(engine).columns == ()
    write_history(database_url, NOW)
    found = loaded(engine)
    assert [one.seconds for one in found.columns] == [seconds for seconds, *_ in RUNS]
    assert [one.status for one in found.columns][-1] == "FAILED"
    assert [name for name, _ in found.rows] == list(COMPONENTS)
    for number, (_, *steps) in enumerate(RUNS):
        assert [cells[number].outcome for _, cells in found.rows] == [OUTCOMES[step] for step in steps]
    newest = loaded(engine, limit=2)
    assert [one.run_id for one in newest.columns] == [one.run_id for one in found.columns][-2:]


def test_each_cell_agrees_with_what_is_behind_it(engine: sa.Engine, database_url: str) -> None:
    write_history(database_url, NOW)
    found = loaded(engine)
    with reading(engine) as conn:
        at = Connections(conn, conn)
        for name, cells in found.rows:
            for cell in cells:
                assert step_of(at, cell.run_id, name).outcome == cell.outcome
        failed = step_of(at, found.columns[-1].run_id, "model")
        assert failed.reasons == (NEW_DATA,)
        assert failed.attempt is not None
        assert failed.attempt.error is not None
        assert failed.attempt.error.startswith("the <model> broke")
        assert failed.attempt.finished_at is not None
        assert failed.attempt.finished_at - failed.attempt.started_at == timedelta(seconds=3)
        assert failed.sentences == (
            "model ran because there is new data in the source crypto (2 parts)",
            "model failed: the <model> broke",
        )
        deferred = step_of(at, found.columns[3].run_id, "model")
        assert deferred.sentences[-1] == "model was deferred until tomorrow"
        assert deferred.attempt is None
        for run_id, name in ((found.columns[0].run_id, "no-such"), (99, "model")):
            with pytest.raises(NotFound):
                step_of(at, run_id, name)
