"""Two threads of one process, as in a server, on one component: they are one owner, and yet one of them computes."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent import identity
from agent.clock import SystemClock
from agent.core.events import Event, Progress
from agent.core.explain import plan_lines
from agent.core.model import State
from agent.errors import Busy
from agent.execution.engine import Report
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.survey import Inspector
from agent.store import state
from agent.store.control import attempts, runs
from tests.served import wait_until
from tests.tiny import opened, steps, tiny_project

NUMBERS = "numbers"


class Computing:
    """A watcher of a run that holds its first thread inside the component until it may `go_on`, or is to `fail`."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.fail = False

    def __call__(self, event: Event | Progress) -> None:
        if isinstance(event, Progress):
            self.begun.set()
            assert self.go_on.wait(60)
            if self.fail:
                raise RuntimeError("a fault in this thread")


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Path:
    folder = tiny_project(tmp_path / "project", url=database_url)
    path = folder / "agent.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("kind = 'inline'", "kind = 'inline'\nlease_seconds = 30"), encoding="utf-8")
    with opened(folder):  # its rows are made
        return folder


def run(project: Path, **options: Any) -> Report:
    with opened(project) as workspace:
        return perform(workspace, Request(targets=(NUMBERS,)), **options)


def row(project: Path) -> State:
    with opened(project) as workspace, workspace.database.reading() as connections:
        return state.load_states(connections.project)[NUMBERS]


def history(project: Path) -> tuple[list[str], list[str]]:
    """Statuses of runs and of attempts, the oldest first."""
    with opened(project) as workspace, workspace.database.reading() as connections:
        rows = sorted(runs.list_runs(connections.control), key=lambda one: one.id)
        found = [one for each in rows for one in attempts.list_attempts(connections.control, each.id)]
        return [one.status for one in rows], [one.status for one in sorted(found, key=lambda one: one.id)]


def _is_extended(project: Path, end: datetime | None) -> bool:
    return row(project).lease_expires_at != end


def test_the_second_thread_is_refused_and_takes_nothing_over(project: Path) -> None:
    path = project / "agent.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("lease_seconds = 30", "lease_seconds = 3"), encoding="utf-8")
    computing = Computing()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(run, project, watchers=(computing,))
        try:
            assert computing.begun.wait(60)
            held = row(project)
            assert held.lease_owner == identity.own()
            end = held.lease_expires_at
            for _ in range(4):  # times extended: without the heartbeat it would have ended
                with pytest.raises(Busy, match="is being run by"):
                    threads.submit(run, project).result(60)
                wait_until(partial(_is_extended, project, end), what="the heartbeat")
                end = row(project).lease_expires_at
            assert row(project).lease_token == held.lease_token
        finally:
            computing.go_on.set()
        assert first.result(60).status == "COMPLETED"
    assert row(project).lease_owner is None
    of_runs, of_attempts = history(project)
    assert (of_runs[0], set(of_runs[1:]), of_attempts) == ("COMPLETED", {"CANCELLED"}, ["succeeded"])
    assert steps(run(project)) == {NUMBERS: "skip"}


def test_a_plan_names_who_computes_and_takes_nobody_for_dead(project: Path) -> None:
    def plan() -> list[str]:
        with opened(project) as workspace:
            request = Request(targets=(NUMBERS,))
            return plan_lines(think(workspace, Inspector(workspace), request, now=SystemClock().now()).plan)

    computing = Computing()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(run, project, watchers=(computing,))
        try:
            assert computing.begun.wait(60)
            who = identity.describe(identity.own())
            assert plan() == [f"numbers  block     by {who}, which computes it now"]
        finally:
            computing.go_on.set()
        assert first.result(60).status == "COMPLETED"
    (line,) = plan()
    assert line.startswith("numbers  skip")


def test_a_thread_that_fails_gives_the_lease_to_the_one_that_waits(project: Path) -> None:
    computing = Computing()
    asked: list[int] = []
    computing.fail = True
    second: Future[Report]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(run, project, watchers=(computing,))
        try:
            assert computing.begun.wait(60)
            token = row(project).lease_token
            # It asks whether to go on as it begins, and then while it waits for the lease.
            second = threads.submit(run, project, wait=True, stop=lambda: asked.append(1))
            wait_until(lambda: len(asked) > 1)
        finally:
            computing.go_on.set()
        assert first.result(60).status == "FAILED"
        assert steps(second.result(60)) == {NUMBERS: "compute"}
        assert second.result().status == "COMPLETED"
    found = row(project)
    assert (found.lease_owner, found.run_count) == (None, 1)
    assert found.lease_token > token
    assert history(project) == (["FAILED", "COMPLETED"], ["failed", "succeeded"])
