"""Old runs go with all they told; what is young, newest or not over stays."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from agent.core.events import RunCreated
from agent.store import events, retention, runs
from agent.store.engine import reading, writing
from agent.store.tables import events as event_rows
from tests.integration.store.conftest import NOW


def test_old_runs_go_with_their_events(engine: sa.Engine) -> None:
    ids = []
    with writing(engine) as conn:
        for days in (100, 90, 80, 2):
            at = NOW - timedelta(days=days)
            run = runs.create_run(conn, project_id=0, goal="x", targets=(), force=(), trigger="person", now=at)
            events.append(conn, run.id, RunCreated("x" * 2000), at)
            if days != 90:  # this one waits still
                runs.move_run(conn, run.id, "CANCELLED", from_statuses=("QUEUED",), now=at)
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
