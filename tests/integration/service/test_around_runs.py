"""Alerts and retention follow every run, whoever asked for it and whichever process performs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import orchestrator
from agent import settings as agent_settings
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.workspace import open_workspace
from agent.runtime.around import Around, Ended
from agent.service import queue
from agent.service.goals import Intent
from agent.service.runner import AgentRunner
from agent.service.schedule import Rule
from agent.service.wiring import around_runs
from agent.service.worker import Worker
from agent.store.control import runs
from agent.store.database.engine import Database, open_engine, reading
from dashboard import actions
from dashboard.data import Session
from tests.old_runs import cancelled
from tests.served import FAILING, wait_until
from tests.tiny import tiny_project

# apprise imports a module that Python 3.13 removed, where it is still there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def once(folder: Path) -> None:
    assert orchestrator.main(["--mode", "once"]) == 1


def scheduled(folder: Path) -> None:
    """As `--mode scheduled`, until the first run is over and what follows it has happened."""

    def stop() -> str | None:
        with reading(engine) as conn:
            found = runs.list_runs(conn)
        return "enough" if found[0].status == "FAILED" else None

    engine = open_engine(agent_settings.load(folder).database_url)
    orchestrator.run_scheduled(Rule(interval_seconds=3600), stop)
    engine.dispose()


def by_queue(folder: Path) -> None:
    settings = agent_settings.load(folder)
    own = open_engine(settings.database_url)
    database = Database(control=own, project=own)
    queue.enqueue(database, project_id=0, goal="all", intent=Intent((), (), "x"), now=datetime.now(UTC))
    assert Worker(settings, database, around_runs()).process() == 1
    database.close()


def by_runner(folder: Path) -> None:
    async def use() -> None:
        runner = AgentRunner(settings=agent_settings.load(folder))
        assert (await runner.run_once())["success"] is False
        await runner.close()

    asyncio.run(use())


def by_dashboard(folder: Path) -> None:
    with open_workspace(folder) as workspace:
        asked = actions.run(Session(workspace, str(folder)))

        def is_over() -> bool:
            with workspace.database.reading() as connections:
                return runs.load_run(connections.control, asked.id).status == "FAILED"

        wait_until(is_over)


@pytest.mark.parametrize("trigger", [once, scheduled, by_queue, by_runner, by_dashboard])
def test_alerts_and_retention_follow_every_run(
    trigger: Callable[[Path], None],
    tmp_path: Path,
    sqlite_url: str,
    inbox: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, titles = inbox
    monkeypatch.setenv("AGENT_DATABASE_URL", sqlite_url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.toml").write_text(
        f"{FAILING}[alerts]\nurls = [{json.dumps(url)}]\n[retention]\nkeep_days = 1\nkeep_runs = 2\n",
        encoding="utf-8",
    )
    engine, old = open_engine(sqlite_url), datetime(2020, 1, 1, tzinfo=UTC)
    with engine.begin() as conn:
        for _ in range(3):
            cancelled(conn, old)
    trigger(tmp_path)

    def kept() -> list[int]:
        with reading(engine) as conn:
            return sorted(one.id for one in runs.list_runs(conn))

    wait_until(lambda: kept() == [3, 4])
    engine.dispose()
    assert titles == ["Tidemill: run 4 failed"]


def test_what_goes_before_a_run_is_done_before_it_is_planned(tmp_path: Path) -> None:
    """And whatever of it or of what follows fails, the run and the rest go on."""
    order: list[str] = []

    def broken(*_: object) -> None:
        order.append("broken")
        raise RuntimeError("on purpose")

    def ended(one: Ended) -> None:
        assert one.releasing == {"board", "publish"}
        order.append(one.run.status)

    around = Around((broken, lambda *given: order.append(f"before, by {given[-1]}")), (broken, ended))
    with open_workspace(tiny_project(tmp_path / "project")) as workspace:
        report = session.perform(
            workspace,
            Request(targets=("board",)),
            around=around,
            watchers=(lambda event: order.append(getattr(event, "type", "PROGRESS")),),
        )
    assert report.status == "COMPLETED"
    assert order[:3] == ["broken", "before, by person", "RUN_STARTED"]
    assert order[-3:] == ["RUN_COMPLETED", "broken", "COMPLETED"]
