"""Runs, attempts, events and projects: the queue, who executes what, and what crashes leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent import identity
from agent.core.events import RunCreated, Unknown
from agent.core.model import Code, Reason
from agent.errors import Conflict, NotFound
from agent.store import leases, state
from agent.store.control import attempts, events, projects, runs
from agent.store.control.runs import Run, Wanted
from agent.store.database.engine import Connections, Database, database_now, open_engine, reading, writing
from agent.store.outputs import catalog
from pipelines.snapshot import Snapshot
from tests.integration.store.conftest import NOW
from tests.paths import PROJECT

REASONS = (Reason(Code.INPUT_CHANGED, "ticks", "v1", "v2"), Reason(Code.MARKED, detail="late ticks"))


@pytest.fixture
def conn(engine: sa.Engine) -> Iterator[sa.Connection]:
    with writing(engine) as conn:
        yield conn


def queue(conn: sa.Connection, **other: Any) -> Run:
    values: dict[str, Any] = {"project_id": 0, "goal": "refresh", "targets": ["publish"], "force": [], "trigger": "api"}
    return runs.create_run(conn, **{**values, "now": NOW, **other})


def attempt(conn: sa.Connection, run: Run, component: str = "ticks", token: int = 1) -> int:
    return attempts.start_attempt(
        conn,
        run_id=run.id,
        component=component,
        number=1,
        token=token,
        owner=identity.own(),
        reasons=REASONS,
        now=NOW,
    )


def save(conn: sa.Connection, attempt_id: int) -> int:
    return catalog.save_snapshot(
        conn,
        Snapshot("ticks", ()),
        attempt_id=attempt_id,
        token=1,
        inputs={},
        code_version="c",
        settings_hash="s",
        settings={},
        now=NOW,
    )


def test_a_run_comes_back_as_it_was_made(conn: sa.Connection) -> None:
    run = queue(conn, goal="Test \x00 execution", force=["model"], require_approval=True, git_commit="abc")
    assert run == runs.load_run(conn, run.id)
    assert (run.id, run.status, run.targets, run.force) == (1, "QUEUED", ("publish",), ("model",))
    assert (run.created_at, run.require_approval, run.plan, run.owner) == (NOW, True, None, None)
    assert "execution" in run.goal
    assert conn.scalar(sa.text("SELECT count(*) FROM runs WHERE plan IS NULL")) == 1


def test_a_run_of_no_project_or_no_such_run(conn: sa.Connection) -> None:
    with pytest.raises(NotFound, match="no project 7"):
        queue(conn, project_id=7)
    with pytest.raises(NotFound, match="no run 7"):
        runs.load_run(conn, 7)


def test_the_same_idempotency_key_gives_the_same_run(conn: sa.Connection) -> None:
    first = queue(conn, idempotency_key="k")
    again = queue(conn, idempotency_key="k", goal="other", now=NOW + timedelta(seconds=1))
    assert again == first
    assert queue(conn).id != queue(conn).id  # none means none


def test_runs_are_listed_newest_first_in_pages(conn: sa.Connection) -> None:
    ids = [queue(conn).id for _ in range(5)]
    runs.move_run(conn, ids[0], "CANCELLED", from_statuses=["QUEUED"])
    page = runs.list_runs(conn, limit=2)
    assert [run.id for run in page] == [ids[4], ids[3]]
    assert [run.id for run in runs.list_runs(conn, Wanted(before_id=ids[3]), limit=2)] == [ids[2], ids[1]]
    assert [run.id for run in runs.list_runs(conn, Wanted(("CANCELLED",)))] == [ids[0]]
    assert runs.list_runs(conn, Wanted(project_id=3)) == []


def test_a_move_happens_only_from_where_it_may(conn: sa.Connection) -> None:
    """Its times are the database's: who asked may have another clock (NOW is long ago)."""
    run, began = queue(conn), database_now(conn)
    assert not runs.move_run(conn, run.id, "COMPLETED", from_statuses=["RUNNING"])
    assert runs.move_run(conn, run.id, "RUNNING", from_statuses=["QUEUED"], plan=[{"component": "ticks"}])
    assert runs.move_run(conn, run.id, "FAILED", from_statuses=["RUNNING"], error="disk full")
    assert not runs.move_run(conn, run.id, "RUNNING", from_statuses=["QUEUED"])
    run = runs.load_run(conn, run.id)
    assert (run.status, run.error) == ("FAILED", "disk full")
    assert run.started_at is not None
    assert run.finished_at is not None
    assert began <= run.started_at <= run.finished_at <= database_now(conn)
    assert run.plan == [{"component": "ticks"}]


def test_the_oldest_run_is_claimed_once(conn: sa.Connection) -> None:
    first, second = queue(conn), queue(conn)
    claimed = [runs.claim_next(conn, identity.own(), 60) for _ in range(3)]
    assert [run and run.id for run in claimed] == [first.id, second.id, None]
    assert claimed[0] is not None
    assert (claimed[0].status, claimed[0].owner) == ("RUNNING", identity.own())
    assert not runs.claim_run(conn, first.id, identity.own(), 60)


def test_workers_at_once_take_each_run_once_and_do_not_wait(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        wanted = {queue(conn).id for _ in range(40)}
    taken: list[int] = []

    def work() -> None:
        while True:
            with writing(engine) as conn:
                run = runs.claim_next(conn, identity.own(), 60)
            if run is None:
                return
            taken.append(run.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(wanted)


def test_a_run_is_cancelled_by_asking(conn: sa.Connection) -> None:
    run = queue(conn)
    assert runs.request_cancel(conn, run.id).cancel_requested
    runs.move_run(conn, run.id, "CANCELLED", from_statuses=["QUEUED"])
    with pytest.raises(Conflict, match="is over: CANCELLED"):
        runs.request_cancel(conn, run.id)
    with pytest.raises(NotFound):
        runs.request_cancel(conn, 99)


def test_the_run_of_a_killed_process_is_closed(engine: sa.Engine, database_url: str) -> None:
    code = (
        "import sys; from datetime import UTC, datetime\n"
        "from agent import identity; from agent.store.control import runs; from agent.store.database import engine\n"
        "with engine.writing(engine.open_engine(sys.argv[1])) as conn:\n"
        "    runs.create_run(conn, project_id=0, goal='g', targets=[], force=[], trigger='person', status='RUNNING',\n"
        "                    owner=identity.own(), lease_seconds=600, now=datetime.now(UTC))\n"
        "print('done', flush=True); sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    with writing(engine) as conn:
        assert runs.abandon_runs(conn, NOW) == []  # it lives
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with writing(engine) as conn:
        mine = queue(conn, status="RUNNING", owner=identity.own(), lease_seconds=60)
        closed = runs.abandon_runs(conn, NOW)
        assert [(run.id, run.status, run.owner) for run in closed] == [(1, "FAILED", None)]
        said = events.load_events(conn, 1)
        assert [(event.type, event.payload["error"]) for event in said] == [("RUN_FAILED", closed[0].error)]
        assert runs.load_run(conn, mine.id).status == "RUNNING"
        assert runs.abandon_runs(conn, NOW) == []


def test_a_run_elsewhere_is_closed_when_its_lease_ends(conn: sa.Connection) -> None:
    run = queue(conn, status="RUNNING", owner="far-away/b/n/1/2", lease_seconds=60)
    assert runs.abandon_runs(conn, NOW) == []
    assert leases.extend(conn, leases.of_run(run.id), run.lease_token, 0)
    assert [one.id for one in runs.abandon_runs(conn, NOW)] == [run.id]
    assert not leases.extend(conn, leases.of_run(run.id), run.lease_token, 60)


def test_an_attempt_is_closed_once_and_read_back(conn: sa.Connection) -> None:
    run = queue(conn)
    attempt_id = attempt(conn, run)
    facts: dict[str, Any] = {
        "status": "failed",
        "now": NOW,
        "input_versions": {"ticks": "v2"},
        "seconds": 1.5,
        "rows": 10,
        "error": "what",
        "traceback": "Traceback \ud800",
    }
    assert attempts.finish_attempt(conn, attempt_id, **facts)
    assert not attempts.finish_attempt(conn, attempt_id, **{**facts, "status": "succeeded"})
    (found,) = attempts.list_attempts(conn, run.id)
    assert (found.status, found.reasons, found.input_versions) == ("failed", REASONS, {"ticks": "v2"})
    assert (found.seconds, found.rows, found.error, found.finished_at) == (1.5, 10, "what", NOW)


def test_expectations_come_from_the_newest_success_of_the_same_project(conn: sa.Connection) -> None:
    other = projects.create_project(conn, name="other", local_path="/tmp/other", now=NOW)
    for project_id, seconds, status in [(0, 1.0, "succeeded"), (0, 2.0, "succeeded"), (0, 3.0, "failed")]:
        attempt_id = attempt(conn, queue(conn, project_id=project_id))
        attempts.finish_attempt(conn, attempt_id, status=status, now=NOW, seconds=seconds, rows=5)
    attempt_id = attempt(conn, queue(conn, project_id=other.id))
    attempts.finish_attempt(conn, attempt_id, status="succeeded", now=NOW, seconds=9.0, rows=1)
    assert attempts.expectations(conn, 0) == {"ticks": (2.0, 5)}
    assert attempts.expectations(conn, other.id) == {"ticks": (9.0, 1)}


def test_attempts_of_a_dead_holder_are_closed_as_crashed(conn: sa.Connection) -> None:
    other = projects.create_project(conn, name="other", local_path="/tmp/other", now=NOW)
    run = queue(conn)
    old, new = attempt(conn, run, token=1), attempt(conn, run, token=2)
    elsewhere = attempt(conn, queue(conn, project_id=other.id), token=1)
    closed = attempts.find_abandoned(Connections(conn, conn), "ticks", 2, NOW)
    assert [(one.id, one.status, one.reasons) for one in closed] == [(old, "crashed", REASONS)]
    attempts.close_abandoned(conn, closed)
    assert attempts.list_attempts(conn, run.id)[0] == closed[0]
    assert [one.status for one in attempts.list_attempts(conn, run.id)] == ["crashed", "running"]
    assert not attempts.finish_attempt(conn, old, status="succeeded", now=NOW)
    assert attempts.finish_attempt(conn, new, status="succeeded", now=NOW)
    assert attempts.finish_attempt(conn, elsewhere, status="succeeded", now=NOW)


def test_an_attempt_whose_snapshot_was_committed_succeeded(engine: sa.Engine, sqlite_url: str, tmp_path: Path) -> None:
    """Two databases: the project's transaction was committed, the control one was not."""
    own = tmp_path / "own.sqlite"
    own.write_bytes((tmp_path / "state.sqlite").read_bytes())
    database = Database(control=engine, project=open_engine(f"sqlite:///{own}"), project_id=1)
    with database.writing() as both:
        projects.create_project(both.control, name="other", local_path=str(tmp_path), now=NOW)
        state.ensure_rows(both.project, ["ticks", "features"])
        run = queue(both.control, project_id=1, status="RUNNING", owner="far/b/n/1/2", lease_seconds=0)
        committed, held = attempt(both.control, run), attempt(both.control, run, "features")
        save(both.project, committed)
        leases.take(both.project, leases.of_component("features"), "far/b/n/1/2", 60)
    with database.writing() as both:
        assert attempts.abandon_attempts_of_ended_runs(both, NOW) == []  # the run is not over
        assert [one.id for one in runs.abandon_runs(both.control, NOW)] == [run.id]
        closed = attempts.abandon_attempts_of_ended_runs(both, NOW)
        assert [(one.id, one.status) for one in closed] == [(committed, "succeeded")]
        assert closed[0].output_version == Snapshot("ticks", ()).version
        # The other one's lease is still held: whoever takes that over closes it.
        assert [one.id for one in attempts.find_abandoned(both, "features", 2, NOW)] == [held]
    database.close()


def test_ids_of_removed_rows_do_not_come_back(conn: sa.Connection) -> None:
    run = queue(conn)
    first = attempt(conn, run)
    conn.execute(sa.text("DELETE FROM runs"))
    assert attempts.list_attempts(conn, run.id) == []  # removed with their run
    again = queue(conn)
    assert again.id > run.id
    assert attempt(conn, again) > first


def test_events_count_from_one_within_their_run(conn: sa.Connection) -> None:
    one, two = queue(conn), queue(conn)
    events.append(conn, one.id, Unknown("RUN_CREATED", {"nan": float("nan")}), NOW)
    events.append_all(conn, one.id, [(Unknown("A", {"n": 1}), NOW), (Unknown("B", {}), NOW)])
    events.append_all(conn, one.id, [])
    events.append(conn, two.id, RunCreated("all"), NOW)
    assert [(event.seq, event.type) for event in events.load_events(conn, one.id)] == [
        (1, "RUN_CREATED"),
        (2, "A"),
        (3, "B"),
    ]
    assert [event.seq for event in events.load_events(conn, two.id)] == [1]
    assert [event.type for event in events.load_events(conn, one.id, after_seq=1, limit=1)] == ["A"]
    assert events.load_events(conn, one.id)[0].payload == {"nan": None}
    with pytest.raises(NotFound):
        events.append(conn, 99, RunCreated("all"), NOW)


def test_events_of_several_writers_have_no_gap_and_no_double(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        run = queue(conn)

    def write() -> None:
        for _ in range(10):
            with writing(engine) as conn:
                events.append(conn, run.id, RunCreated("all"), database_now(conn))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as conn:
        assert [event.seq for event in events.load_events(conn, run.id)] == list(range(1, 41))


def test_the_first_project_made_is_number_one(conn: sa.Connection) -> None:
    made = projects.create_project(conn, name="fx", local_path="/tmp/fx", settings_file="agent.toml", now=NOW)
    assert made.id == 1
    assert [one.name for one in projects.list_projects(conn)] == ["default", "fx"]
    assert projects.load_project(conn, 1) == made
    with pytest.raises(Conflict, match="'fx'"):
        projects.create_project(conn, name="fx", local_path="/tmp/other", now=NOW)
    with pytest.raises(NotFound):
        projects.load_project(conn, 2)
