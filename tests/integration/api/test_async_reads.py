"""Routes that only read are coroutines that need no thread, so that they go on when every thread is taken."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import sqlalchemy as sa

from agent.api import routes
from agent.errors import DatabaseError
from agent.service.runner import AgentRunner
from agent.store.control import runner as control
from agent.store.control import runs
from agent.store.database.engine import Database, open_engine, writing
from agent.store.database.reader import Reader
from tests.integration.api.conftest import MakeClient

FILES = sorted(path.stem for path in Path(routes.__file__).parent.glob("*.py") if path.stem != "__init__")
PAGES = ["/ui/agent", "/ui/grid", "/ui/runs", "/ui/runs/table", "/ui/runs/1", "/ui/runs/1/timeline", "/ui/release"]
READS = [
    "/healthz",
    "/readyz",
    "/api/agent/status",
    "/api/state",
    "/api/releases",
    "/worker/status",
    "/projects",
    "/runs",
    "/runs?status=QUEUED&limit=3",
    "/runs/1",
    "/runs/1/events",
    "/runs/1/attempts",
    "/runs?project_id=0",
    "/projects/0",
    "/markets/latest",
    "/signals/latest",
    "/backtests/runs",
    *PAGES,
]
NEW: dict[str, Any] = {
    "project_id": 0,
    "goal": "refresh",
    "targets": (),
    "force": (),
    "trigger": "queue",
    "now": datetime(2026, 1, 1, tzinfo=UTC),
}
LONG = [
    "/",
    "/ui/morning",
    "/metrics",
    "/diagnostics/calibration",
]  # more than a page of rows: in a thread where the database is a file


@pytest.fixture
def threads_used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to a thread since, but by the watch of the background runner."""
    given: list[str] = []
    in_executor, in_worker = asyncio.BaseEventLoop.run_in_executor, anyio.to_thread.run_sync

    def run_in_executor(loop: Any, executor: Any, function: Any, *args: Any) -> Any:
        task = asyncio.current_task(loop)
        if task is None or task.get_name() != "runner-watch":
            given.append(str(function))
        return in_executor(loop, executor, function, *args)

    async def run_sync(function: Any, *args: Any, **options: Any) -> Any:
        given.append(str(function))
        return await in_worker(function, *args, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", run_in_executor)
    monkeypatch.setattr(anyio.to_thread, "run_sync", run_sync)
    return given


def test_reads_need_no_thread(make_client: MakeClient, database_url: str, threads_used: list[str]) -> None:
    client = make_client(AGENT_DATABASE_URL=database_url)
    assert client.post("/runs", json={"goal": "refresh"}).json()["id"] == 1
    assert threads_used  # opening the project's code; the probe works
    threads_used.clear()
    for address in READS if database_url.startswith("sqlite") else [*READS, *LONG]:
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        assert threads_used == [], address


def test_a_server_ends_before_its_database(
    make_client: MakeClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that are still out once this test is over fail it, and this server's runner keeps one to the end."""
    load, close = control.load, AgentRunner.close
    watched, looks, leaves = threading.Event(), threading.Event(), threading.Event()

    def load_until_it_leaves(conn: sa.Connection) -> control.Runner:
        row = load(conn)
        if watched.is_set():
            looks.set()
            leaves.wait(60)
        return row

    async def leave(self: AgentRunner) -> None:
        leaves.set()
        await close(self)

    monkeypatch.setattr(control, "load", load_until_it_leaves)
    monkeypatch.setattr(AgentRunner, "close", leave)
    make_client(AGENT_DATABASE_URL=database_url)
    watched.set()
    assert looks.wait(60)


@pytest.mark.parametrize("name", FILES)
def test_no_reading_route_is_a_plain_function(name: str) -> None:
    found = importlib.import_module(f"agent.api.routes.{name}").router.routes
    plain = [one.path for one in found if "GET" in one.methods and not inspect.iscoroutinefunction(one.endpoint)]
    assert plain == []


def test_a_reader_answers_while_others_wait(database_url: str) -> None:
    """Reads of one loop do not queue behind each other, nor behind a transaction that writes."""

    async def many(reader: Reader) -> list[int]:
        with writing(own) as conn:  # nobody's business but its own
            runs.create_run(conn, **NEW)
            return await asyncio.gather(*(reader.read(lambda at: len(runs.list_runs(at.control))) for _ in range(20)))

    own = open_engine(database_url)
    with writing(own) as conn:
        runs.create_run(conn, **NEW)
    assert _with_reader(Database(own, own), many) == [1] * 20
    own.dispose()


def test_what_fails_is_said_as_elsewhere_and_the_reader_goes_on(database_url: str) -> None:
    def wrong(at: Any) -> None:
        at.control.exec_driver_sql("SELECT * FROM no_such_table")

    async def fail(reader: Reader) -> int:
        for is_long in (False, True):
            with pytest.raises(DatabaseError, match="no_such_table"):
                await reader.read(wrong, is_long=is_long)
        return await reader.read(lambda at: len(runs.list_runs(at.control)), is_long=True)

    own = open_engine(database_url)
    assert _with_reader(Database(own, own), fail) == 0
    own.dispose()


def _with_reader(database: Database, work: Any) -> Any:
    async def do() -> Any:
        reader = Reader(database)
        try:
            return await work(reader)
        finally:
            await reader.close()

    return asyncio.run(do())
