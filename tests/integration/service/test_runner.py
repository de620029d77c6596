"""The background runner as a program uses it, and several of them on one database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent import settings as agent_settings
from agent.errors import Conflict, UsageError
from agent.sections.runner import Settings as RunnerSettings
from agent.service import cycle
from agent.service.runner import AgentRunner, get_agent_runner
from agent.settings import Settings
from agent.store import leases
from agent.store.control import runner as row
from agent.store.control import runs
from agent.store.database.engine import open_engine, reading, writing
from tests.served import FAILING, environment, wait_until


@pytest.fixture
def settings(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project whose every run fails at once, on either database."""
    monkeypatch.setenv("AGENT_DATABASE_URL", database_url)
    (tmp_path / "agent.toml").write_text(FAILING, encoding="utf-8")
    return agent_settings.load(tmp_path)


def test_new_runner_is_stopped_with_the_default_or_given_interval(settings: Settings) -> None:
    async def use() -> None:
        runner, other = AgentRunner(settings=settings), AgentRunner(interval_minutes=30, settings=settings)
        assert runner.get_status()["state"] == "stopped"
        assert (runner.interval_minutes, other.interval_minutes) == (60, 30)
        assert other.get_status()["interval_minutes"] == 30
        await runner.close()
        await other.close()

    asyncio.run(use())


@pytest.mark.parametrize("minutes", [0, -1, 10081])
def test_interval_is_bounded(settings: Settings, minutes: int) -> None:
    with pytest.raises(UsageError):
        AgentRunner(minutes, settings=settings)


def test_the_process_has_one_runner_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENT_DATABASE_URL", raising=False)

    async def use() -> None:
        runner = get_agent_runner(tmp_path)
        assert get_agent_runner(tmp_path) is runner
        await runner.close()
        again = get_agent_runner(tmp_path)
        assert again is not runner
        await again.close()

    asyncio.run(use())


def test_cycles_fail_are_counted_and_the_schedule_goes_on(settings: Settings) -> None:
    async def use() -> None:
        runner = AgentRunner(30, settings=settings)
        due = await runner.start()
        assert timedelta(minutes=29) < due - datetime.now(UTC) < timedelta(minutes=31)
        for count in (1, 2):
            result = await runner.run_once()
            assert result["success"] is False
            assert "markets" in (result["error"] or "")
            status = runner.get_status()
            assert (status["state"], status["run_count"], status["error_count"]) == ("running", count, count)
            assert status["next_run"] == due
        await runner.stop()
        assert runner.get_status()["state"] == "stopped"
        await runner.close()

    asyncio.run(use())


def test_a_due_cycle_is_carried_out(settings: Settings) -> None:
    async def use() -> None:
        runner = AgentRunner(settings=settings)
        await runner.start()
        # What the clock would do in an hour.
        runner._schedule._job.modify(next_run_time=datetime.now(UTC))
        async with asyncio.timeout(30):
            while runner.get_status()["run_count"] == 0:  # noqa: ASYNC110 - another thread brings it about
                await asyncio.sleep(0.05)
        due = runner.get_status()["next_run"]
        assert due is not None
        assert due > datetime.now(UTC)
        await runner.close()

    asyncio.run(use())


def test_never_two_cycles_at_once_even_from_two_servers(settings: Settings) -> None:
    async def use() -> None:
        one, two = AgentRunner(settings=settings), AgentRunner(settings=settings)
        results = await asyncio.gather(one.run_once(), two.run_once(), return_exceptions=True)
        assert [type(result) for result in results].count(Conflict) == 1
        waited = await asyncio.gather(one.run_once(wait=True), two.run_once(wait=True))
        first, second = sorted(waited, key=lambda result: result["started_at"])
        assert first["completed_at"] <= second["completed_at"]
        assert one.get_status()["run_count"] + two.get_status()["run_count"] >= 3
        await two.attach()
        assert two.get_status()["run_count"] == 3
        await one.close()
        await two.close()

    asyncio.run(use())


def test_one_runner_a_database_and_the_other_server_may_steer_it(settings: Settings) -> None:
    async def use() -> None:
        holder, other = AgentRunner(settings=settings), AgentRunner(settings=settings)
        await holder.start()
        with pytest.raises(Conflict, match="running already"):
            await other.start()
        async with asyncio.timeout(30):
            await other.pause()
            # The holder knows it a moment after it has written so.
            await asyncio.to_thread(wait_until, lambda: holder.get_status()["state"] == "paused")
            await other.update_interval(9)
            await other.resume()
            await other.stop()
        status = other.get_status()
        assert (status["state"], status["interval_minutes"]) == ("stopped", 9)
        await other.start()
        await holder.close()
        assert other.get_status()["state"] == "running"
        await other.close()

    asyncio.run(use())


def test_a_runner_whose_process_died_is_shown_as_error_and_can_be_started(settings: Settings, tmp_path: Path) -> None:
    code = (
        "import asyncio, os\n"
        "from agent.service.runner import AgentRunner\n"
        "async def use():\n"
        "    await AgentRunner(5).start()\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(use())\n"
    )
    env = environment(AGENT_DATABASE_URL=settings.database_url)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()

    async def use() -> None:
        runner = AgentRunner(settings=settings)
        status = runner.get_status()
        assert (status["state"], status["running"], status["next_run"]) == ("error", False, None)
        assert "died" in (status["last_error"] or "")
        await runner.start()
        assert runner.get_status()["state"] == "running"
        await runner.close()

    asyncio.run(use())


@pytest.mark.parametrize("last", ["running", "paused", "stopped"])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_runner_comes_back_where_settings_say_so(settings: Settings, last: str, resumes: bool) -> None:
    settings = settings.with_parts(runner=RunnerSettings(resume_on_start=resumes))

    async def use() -> None:
        runner = AgentRunner(settings=settings)
        await runner.come_back()
        assert runner.get_status()["state"] == "stopped"  # the first start of all
        await runner.start()
        if last == "paused":
            await runner.pause()
        elif last == "stopped":
            await runner.stop()
        await runner.close()
        after = AgentRunner(settings=settings)
        assert after.get_status()["state"] == "stopped"
        await after.come_back()
        assert after.get_status()["state"] == (last if resumes else "stopped")
        await after.close()

    asyncio.run(use())


def test_stop_cancels_a_cycle_that_waits(settings: Settings) -> None:
    """A cycle carried out elsewhere: its run is asked to stop."""

    async def use() -> None:
        runner = AgentRunner(settings=settings)
        await runner.start()
        run = cycle.begin(settings, runner.database, "api", runner.around)
        await runner.stop(cancel=True)
        with runner.database.reading() as connections:
            assert runs.load_run(connections.control, run.id).cancel_requested
        await runner.close()

    asyncio.run(use())


def test_leaving_waits_for_the_look_that_is_being_made(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread would go on with the database after it is closed, and leave a connection open for good."""
    load, inside, go_on = row.load, threading.Event(), threading.Event()

    async def use() -> None:
        runner = AgentRunner(settings=settings)
        await runner.attach()

        def held_load(conn: sa.Connection) -> row.Runner:
            inside.set()
            assert go_on.wait(60)
            return load(conn)

        monkeypatch.setattr(row, "load", held_load)
        await asyncio.to_thread(inside.wait, 60)
        pool = runner.database.control.pool
        leaving = asyncio.create_task(runner.close())
        done, _ = await asyncio.wait([leaving], timeout=0.2)
        assert not done
        go_on.set()
        await leaving
        assert runner.database.control.pool is not pool  # the closed one
        assert isinstance(pool, sa.QueuePool)
        assert (pool.checkedout(), pool.checkedin()) == (0, 0)

    asyncio.run(use())


def test_a_cycle_that_is_just_beginning_is_not_left_to_nobody(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To stop ends the schedule, and with it whoever waits for its cycle."""
    begin, inside, go_on = cycle.begin, threading.Event(), threading.Event()
    begun: list[runs.Run] = []

    def held_begin(*arguments: Any) -> runs.Run:
        inside.set()
        assert go_on.wait(60)
        begun.append(begin(*arguments))
        return begun[0]

    async def use() -> None:
        runner = AgentRunner(settings=settings)
        await runner.start()
        monkeypatch.setattr(cycle, "begin", held_begin)
        tick = asyncio.create_task(runner._tick())
        await asyncio.to_thread(inside.wait, 60)
        tick.cancel()
        go_on.set()
        await runner.close()
        engine = open_engine(settings.database_url)
        with reading(engine) as conn:
            assert runs.load_run(conn, begun[0].id).status in ("FAILED", "CANCELLED")
        engine.dispose()

    asyncio.run(use())


def test_only_the_holder_of_the_lease_writes(database_url: str) -> None:
    engine = open_engine(database_url)
    with writing(engine) as conn:
        token = row.take(conn, "host/boot/ns/1/1", 60, interval_minutes=None).token
        assert row.show(conn, token, "running", None)
        assert not row.show(conn, token - 1, "paused", None)
        assert not leases.extend(conn, leases.RUNNER, token + 1, 60)
        assert row.load(conn).state == "running"
        assert row.show(conn, token, "stopped", None)
        assert not leases.extend(conn, leases.RUNNER, token, 60)
    engine.dispose()
