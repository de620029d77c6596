"""The worker: runs of several projects, in order, on both databases; what dies or expires is closed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent import identity
from agent import settings as agent_settings
from agent.errors import Conflict
from agent.runtime.around import Around, Ended
from agent.service import projects, queue
from agent.service.goals import Intent
from agent.service.projects import open_project
from agent.service.worker import Worker
from agent.settings import Settings
from agent.store.control import approvals, events, runs
from agent.store.control.runs import Run
from agent.store.database import notify
from agent.store.database.engine import Database, open_engine
from agent.store.tables import approvals as approvals_table
from agent.store.tables import orchestrator_state as states
from tests.served import INLINE, environment, wait_until

MARKETS = Intent(("markets",), (), "bring markets up to date")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    text = INLINE + f'[api]\nproject_roots = ["{tmp_path}"]\n[worker]\nbatch_size = 3\n'
    (tmp_path / "agent.toml").write_text(text, encoding="utf-8")
    return agent_settings.load(tmp_path, {"AGENT_DATABASE_URL": database_url})


@pytest.fixture
def database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("AGENT_DATABASE_URL", settings.database_url)  # as the process of a server has it
    own = open_engine(settings.database_url)
    return Database(control=own, project=own)


def now() -> datetime:
    return datetime.now(UTC)


def put(database: Database, goal: str = "refresh markets", project_id: int = 0, **more: Any) -> int:
    run, _ = queue.enqueue(database, project_id=project_id, goal=goal, intent=MARKETS, now=now(), **more)
    return run.id


def load(database: Database, run_id: int) -> Run:
    with database.reading() as connections:
        return runs.load_run(connections.control, run_id)


def types(database: Database, run_id: int) -> list[str]:
    with database.reading() as connections:
        return [event.type for event in events.load_events(connections.control, run_id)]


def test_runs_go_in_order_of_creation_a_batch_at_a_time(settings: Settings, database: Database) -> None:
    ids = [put(database) for _ in range(5)]
    worker = Worker(settings, database, Around())
    assert worker.process() == 3
    assert worker.process() == 2
    assert worker.process() == 0
    done = [load(database, run_id) for run_id in ids]
    assert {run.status for run in done} == {"COMPLETED"}
    started = [run.started_at for run in done]
    assert started == sorted(started, key=str)
    expected = ["RUN_CREATED", "RUN_STARTED", "AGENT_THINKING", "PLAN_GENERATED", "EXECUTING"]
    assert types(database, ids[0])[:5] == expected
    assert types(database, ids[0])[-1] == "RUN_COMPLETED"
    database.close()


def test_a_project_has_its_own_state_beside_the_server_s(settings: Settings, database: Database) -> None:
    folder = settings.base / "other"
    project = projects.create(database, settings, name="other", local_path=str(folder), now=now())
    (folder / "agent.toml").write_text(INLINE, encoding="utf-8")
    run_id = put(database, project_id=project.id)
    Worker(settings, database, Around()).process()
    assert load(database, run_id).status == "COMPLETED", load(database, run_id).error
    count = sa.select(states.c.run_count).where(states.c.component == "markets")
    with projects.open_project(settings, database, project.id) as workspace:
        is_postgres = settings.database_url.startswith("postgres")
        with workspace.database.reading() as connections:
            assert connections.project.scalar(count) == 1
            assert (connections.control is connections.project) is is_postgres
            if is_postgres:
                plain = "SELECT run_count FROM project_1.orchestrator_state WHERE component = 'markets'"
                assert connections.control.scalar(sa.text(plain)) == 1
        if not is_postgres:
            assert (folder / ".tidemill" / "state.sqlite").is_file()
    with database.reading() as connections:
        assert not connections.project.scalar(count)  # no row yet, or one that never ran
    assert (folder / ".tidemill" / "lake").is_dir()
    database.close()


def test_a_project_that_cannot_be_opened_fails_its_runs_with_the_reason(settings: Settings, database: Database) -> None:
    folder = settings.base / "broken"
    project = projects.create(database, settings, name="broken", local_path=str(folder), now=now())
    (folder / "agent.toml").write_text("[modle]\n", encoding="utf-8")
    plain, asked = put(database, project_id=project.id), put(database, project_id=project.id, require_approval=True)
    Worker(settings, database, Around()).process()
    for run_id in (plain, asked):
        assert load(database, run_id).status == "FAILED"
        assert "did you mean [model]" in (load(database, run_id).error or "")
        assert types(database, run_id)[-1] == "RUN_FAILED"
    database.close()


def test_nobody_approved_in_time(settings: Settings, database: Database) -> None:
    run_id = put(database, require_approval=True)
    worker = Worker(settings, database, Around())
    worker.process()
    assert load(database, run_id).status == "AWAITING_APPROVAL"
    assert queue.expire_overdue(database, now()) == []
    make_overdue(database, run_id)
    assert queue.expire_overdue(database, now()) == [run_id]
    assert load(database, run_id).status == "CANCELLED"
    assert types(database, run_id)[-2:] == ["APPROVAL_EXPIRED", "RUN_CANCELLED"]
    with database.reading() as connections:
        asked = approvals.load_approval(connections.control, run_id)
    assert asked is not None
    assert asked.status == "expired"
    assert worker.process() == 0
    database.close()


def make_overdue(database: Database, run_id: int) -> None:
    """Let the deadline of a question pass."""
    with database.writing() as connections:
        late = sa.update(approvals_table).where(approvals_table.c.run_id == run_id)
        connections.control.execute(late.values(expires_at=now() - timedelta(seconds=1)))


@pytest.mark.parametrize("answer", [queue.approve, queue.reject])
def test_an_answer_after_the_deadline_is_refused_without_any_worker(
    settings: Settings, database: Database, answer: Callable[..., object]
) -> None:
    run_id = put(database, require_approval=True)
    Worker(settings, database, Around()).process()
    make_overdue(database, run_id)
    with pytest.raises(Conflict, match="nobody approved it in time"):
        answer(database, run_id, by="me", reason=None, now=now())
    run = load(database, run_id)
    assert run.status == "CANCELLED"
    assert types(database, run_id)[-2:] == ["APPROVAL_EXPIRED", "RUN_CANCELLED"]
    database.close()


def test_a_local_clock_that_is_wrong_does_not_move_the_deadline(settings: Settings, database: Database) -> None:
    """The deadline is set and judged by the database's clock, whatever `now` a process hands over."""
    run_id = put(database, require_approval=True)
    wrong = now() - timedelta(days=300)
    with open_project(settings, database, 0) as workspace:
        assert queue.ask_approval(workspace, settings, load(database, run_id), wrong)
    assert queue.expire_overdue(database, now() + timedelta(days=300)) == []
    assert queue.approve(database, run_id, by="me", reason=None, now=wrong).status == "QUEUED"
    database.close()


def leave_running(settings: Settings) -> None:
    """Let a worker claim the oldest run and die."""
    code = (
        "import os, sys\n"
        "from agent import identity; from agent.store.control import runs; from agent.store.database import engine\n"
        "with engine.writing(engine.open_engine(sys.argv[1])) as conn:\n"
        "    assert runs.claim_next(conn, identity.own(), 60)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, settings.database_url], env=environment(), check=False, capture_output=True
    )


def test_a_run_left_by_a_dead_worker_is_closed_and_told(settings: Settings, database: Database) -> None:
    run_id = put(database)
    leave_running(settings)
    assert load(database, run_id).status == "RUNNING"
    told: list[Run] = []
    Worker(settings, database, Around(after=(lambda ended: told.append(ended.run),))).process()
    assert load(database, run_id).status == "FAILED"
    assert "died" in (load(database, run_id).error or "")
    assert [run.id for run in told] == [run_id]
    database.close()


def test_the_highest_priority_goes_first(settings: Settings, database: Database) -> None:
    ids = [put(database, priority=priority) for priority in (0, -3, 7, 0)]
    Worker(settings, database, Around()).process()  # three of them
    started = [load(database, run_id) for run_id in (ids[2], ids[0], ids[3])]
    assert [run.status for run in started] == ["COMPLETED"] * 3
    assert [run.started_at for run in started] == sorted(run.started_at for run in started if run.started_at)
    assert load(database, ids[1]).status == "QUEUED"
    database.close()


def test_a_project_takes_no_more_workers_than_it_may(settings: Settings, database: Database, tmp_path: Path) -> None:
    other = projects.create(database, settings, name="b", local_path=str(tmp_path / "b"), now=now())
    mine = [put(database), put(database)]
    theirs = put(database, project_id=other.id)

    def claim(most: int) -> int | None:
        with database.writing() as connections:
            found = runs.claim_next(connections.control, identity.own(), 60, most_per_project=most)
        return None if found is None else found.id

    assert [claim(1), claim(1), claim(1)] == [mine[0], theirs, None]
    assert claim(2) == mine[1]
    database.close()


def test_a_run_whose_worker_died_is_queued_again_as_often_as_set(settings: Settings, database: Database) -> None:
    patient = settings.with_parts(worker=replace(settings.worker, retry_lost=2, batch_size=1))
    first = put(database, priority=4)
    chain = [first]
    for _ in range(2):
        leave_running(settings)
        Worker(patient, database, Around())._tidy()
        (waiting,) = queued(database)
        assert (waiting.retry_of, waiting.priority, waiting.goal) == (chain[-1], 4, "refresh markets")
        chain.append(waiting.id)
    leave_running(settings)
    Worker(patient, database, Around())._tidy()
    assert queued(database) == []
    assert [load(database, run_id).status for run_id in chain] == ["FAILED"] * 3
    database.close()


def queued(database: Database) -> list[Run]:
    with database.reading() as connections:
        return runs.list_runs(connections.control, runs.Wanted(("QUEUED",)))


def test_a_hook_that_fails_changes_nothing(settings: Settings, database: Database) -> None:
    """Neither after a run of this worker nor after one that a dead worker left: the batch and the other hooks go on."""
    told: list[int] = []

    def broken(ended: Ended) -> None:
        raise RuntimeError("on purpose")

    left, own = put(database), put(database)
    leave_running(settings)
    assert Worker(settings, database, Around(after=(broken, lambda ended: told.append(ended.run.id)))).process() == 1
    assert [load(database, run_id).status for run_id in (left, own)] == ["FAILED", "COMPLETED"]
    assert told == [left, own]
    database.close()


LEAVING = """import sys
from pipelines.component import component

@component(name="leaving", heavy=False)
def leaving(ctx, settings):
    sys.exit(5)
"""


def test_a_queue_broken_by_hand_is_told_and_mended_without_a_restart(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AGENT_DATABASE_URL", sqlite_url)
    (tmp_path / "agent.toml").write_text(INLINE, encoding="utf-8")
    own = open_engine(sqlite_url)
    database = Database(control=own, project=own)
    run_id = put(database)

    def write_targets(text: str) -> None:
        with database.writing() as connections:
            connections.control.execute(sa.text("UPDATE runs SET targets = :text"), {"text": text})

    write_targets('["markets')
    worker = Worker(agent_settings.load(tmp_path), database, Around())
    worker.start()
    try:
        wait_until(lambda: "a column for JSON holds none" in caplog.text, what="the worker's warning")
        write_targets('["markets"]')
        worker.wake()
        wait_until(lambda: load(database, run_id).status == "COMPLETED", what="the run, once its row was fixed")
    finally:
        worker.stop()
    assert "look for this text" in caplog.text
    database.close()


@pytest.mark.parametrize("code", [LEAVING, "import sys\nsys.exit(5)\n"], ids=["computed", "loaded"])
def test_own_code_that_leaves_takes_no_worker_along(settings: Settings, database: Database, code: str) -> None:
    """sys.exit fails the run, in its component or as its module is loaded; no lease is kept, the batch goes on."""
    folder = settings.base / "other"
    project = projects.create(database, settings, name="other", local_path=str(folder), now=now())
    (folder / "own.py").write_text(code, encoding="utf-8")
    (folder / "agent.toml").write_text(INLINE + "[project]\nmodules = ['own.py']\n", encoding="utf-8")
    intent = Intent(("leaving",), (), "leave")
    failing, _ = queue.enqueue(database, project_id=project.id, goal="leave", intent=intent, now=now())
    other = put(database)
    assert Worker(settings, database, Around()).process() == 2
    assert load(database, failing.id).status == "FAILED"
    said = "exited with code 5" if code == LEAVING else "SystemExit: 5"
    assert said in (load(database, failing.id).error or "")
    assert load(database, other).status == "COMPLETED"
    (folder / "own.py").write_text(LEAVING, encoding="utf-8")
    with projects.open_project(settings, database, project.id) as workspace, workspace.database.reading() as own:
        held = sa.text("SELECT count(*) FROM orchestrator_state WHERE lease_owner IS NOT NULL")
        assert own.project.scalar(held) == 0
    database.close()


@pytest.mark.postgres
def test_postgres_wakes_a_worker_at_once(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE_URL", postgres_url)
    (tmp_path / "agent.toml").write_text(INLINE + "[worker]\ncheck_interval = 3600\n", encoding="utf-8")
    own = open_engine(postgres_url)
    database = Database(control=own, project=own)
    worker = Worker(agent_settings.load(tmp_path), database, Around())
    with notify.listening(own) as heard:
        worker.start()
        put(database)
        assert heard(10)
    second = put(database)
    wait_until(lambda: load(database, second).status == "COMPLETED", seconds=30)
    worker.stop()
    database.close()
