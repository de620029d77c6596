"""A server forgets what [retention] says: at the end of a run, once an hour per project, whichever thread ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from agent import settings as agent_settings
from agent.clock import AsOfClock
from agent.execution.upkeep.tidy import Upkeep
from agent.runtime import retention
from agent.runtime.around import Around, Ended
from agent.service import projects, queue
from agent.service.goals import Intent
from agent.service.worker import Worker
from agent.settings import Settings
from agent.store.control import runs
from agent.store.database.engine import Database, open_engine
from agent.store.outputs import releases
from tests.old_runs import cancelled
from tests.served import FAILING, environment, wait_until
from tests.tiny import tiny_project

if TYPE_CHECKING:
    from tests.asgi import TestClient

LITTLE = "[retention]\nkeep_days = 1\nkeep_runs = 2\nkeep_output_days = 0\nkeep_releases = 1\n"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@dataclass
class SetClock:
    """A clock that the test sets."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def write(folder: Path, value: int, more: str) -> None:
    """The tiny project with another number, so that its next run makes another release."""
    tiny_project(folder, (value,))
    with (folder / "agent.toml").open("a", encoding="utf-8") as file:
        file.write(more)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    own = open_engine(url)
    database = Database(control=own, project=own)
    try:
        yield database
    finally:
        database.close()


def put(database: Database, project_id: int = 0, *, target: str = "board") -> None:
    intent = Intent((target,), (), f"bring {target} up to date")
    queue.enqueue(database, project_id=project_id, goal=target, intent=intent, now=datetime.now(UTC))


def put_old(database: Database, count: int) -> None:
    """Runs that ended two days ago."""
    with database.writing() as connections:
        for _ in range(count):
            cancelled(connections.control, NOW - 2 * DAY)


def run_ids(database: Database) -> list[int]:
    with database.reading() as connections:
        return sorted(one.id for one in runs.list_runs(connections.control))


def release_count(database: Database, settings: Settings, project_id: int = 0) -> int:
    with projects.open_project(settings, database, project_id) as workspace:
        with workspace.database.reading() as connections:
            rows = releases.list_releases(connections.project, 100)
        folders = {path.name for path in workspace.settings.releases_path.iterdir()} - {"current"}
        assert folders == {one.name for one in rows}
        return len(rows)


def test_a_worker_tidies_each_project_once_an_hour(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_DATABASE_URL", database_url)  # as the process of a server has it
    own, other = tmp_path / "own", tmp_path / "other"
    api = f'[api]\nproject_roots = ["{tmp_path}"]\n'
    write(own, 0, LITTLE + api)
    settings = agent_settings.load(own)
    clock = SetClock(NOW)
    with opened(database_url) as database:
        worker = Worker(settings, database, Around(after=(Upkeep(clock),)))
        projects.create(database, settings, name="other", local_path=str(other), now=NOW)
        for value in range(3):
            write(own, value, LITTLE + api)
            # A project's word on runs, which are the server's, is not heard: it would take those of all projects.
            write(other, value, LITTLE.replace("keep_runs = 2", "keep_runs = 1"))
            put(database)
            put(database, 1)
            assert worker.process() == 2
            # The first round has nothing to take; in the others there would be, the hour is not over.
            clock.at = NOW + timedelta(minutes=59)
        assert (release_count(database, settings), release_count(database, settings, 1)) == (3, 3)
        clock.at = NOW + 2 * DAY
        put(database)
        worker.process()
        assert run_ids(database) == [6, 7]
        assert (release_count(database, settings), release_count(database, settings, 1)) == (1, 3)
        put(database, 1)  # at the very same time: another project has an hour of its own
        worker.process()
        assert run_ids(database) == [7, 8]
        assert (release_count(database, settings), release_count(database, settings, 1)) == (1, 1)


def test_of_threads_that_end_runs_together_one_tidies(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tiny_project(tmp_path / "project", url=database_url)
    settings = agent_settings.load(project, {})
    tidied, forget = [], retention.forget_runs

    def count(*arguments: Any) -> int:
        tidied.append(arguments)
        return forget(*arguments)

    monkeypatch.setattr(retention, "forget_runs", count)

    tidy, together = Upkeep(AsOfClock(NOW)), threading.Barrier(8)

    with opened(database_url) as database:
        put_old(database, 1)
        with database.reading() as connections:
            run = runs.load_run(connections.control, 1)

    def end_a_run(_number: int) -> None:
        with projects.open_project(settings, database, 0) as workspace:
            together.wait(60)
            tidy(Ended(run, workspace.settings, workspace.database, workspace.releasing))

    with opened(database_url) as database, ThreadPoolExecutor(8) as threads:
        list(threads.map(end_a_run, range(8)))
    assert len(tidied) == 1


@pytest.fixture
def old_runs(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A server's folder and database, with three runs to forget."""
    monkeypatch.setenv("AGENT_DATABASE_URL", database_url)
    (tmp_path / "agent.toml").write_text(FAILING + LITTLE, encoding="utf-8")
    with opened(database_url) as database:
        put_old(database, 3)
        yield database


def serving(folder: Path) -> TestClient:
    """A client of the server on `folder`, in this process."""
    from agent.api.app import create_app
    from tests.asgi import TestClient

    app = create_app(folder, peer=lambda _client, _server: os.geteuid())
    return TestClient(app, base_url="http://localhost:8000", client=("127.0.0.1", 50000))


def test_a_server_s_worker_and_runner_share_the_hour(tmp_path: Path, old_runs: Database) -> None:
    with serving(tmp_path) as client:
        client.post("/runs", json={"project_id": 0, "goal": "publish"}).raise_for_status()
        wait_until(lambda: run_ids(old_runs) == [3, 4])
        put_old(old_runs, 3)
        client.post("/api/agent/run-once").raise_for_status()
        assert run_ids(old_runs) == [3, 4, 5, 6, 7, 8]


def test_the_runner_and_the_worker_command_tidy(tmp_path: Path, database_url: str, old_runs: Database) -> None:
    with serving(tmp_path) as client:
        client.post("/api/agent/run-once").raise_for_status()
        assert run_ids(old_runs) == [3, 4]
    put_old(old_runs, 3)
    put(old_runs, target="markets")
    with old_runs.writing() as connections:  # processes share the hour, which lies in SQL
        connections.project.execute(sa.text("UPDATE schedules SET next_due_at = '2020-01-01' WHERE name = 'upkeep'"))
    command = [sys.executable, "-m", "agent", "worker", "--once", "--project-dir", str(tmp_path)]
    subprocess.run(command, env=environment(AGENT_DATABASE_URL=database_url), check=True, capture_output=True)
    assert run_ids(old_runs) == [4, 7, 8]  # 4 has just ended
