"""Every curl of seeds 000, 001 and 002, typed as written (the port alone is replaced), against a real `agent serve`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.served import Served, copy_home, environment, served, wait_until

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

STATUS = "curl http://localhost:8000/api/agent/status"
START = "curl -X POST http://localhost:8000/api/agent/start"
INTERVAL = """curl -X PUT http://localhost:8000/api/agent/interval \\
  -H "Content-Type: application/json" \\
  -d '{"interval_minutes": 30}'"""
RUN_ONCE = "curl -X POST http://localhost:8000/api/agent/run-once"
PAUSE = "curl -X POST http://localhost:8000/api/agent/pause"
RESUME = "curl -X POST http://localhost:8000/api/agent/resume"
STOP = "curl -X POST http://localhost:8000/api/agent/stop"
PROJECT = 'curl -X POST "http://localhost:8000/projects?name=test&local_path=/tmp/test"'
RUN = """curl -X POST "http://localhost:8000/runs" \\
  -H "Content-Type: application/json" \\
  -d '{"project_id": 1, "goal": "Test execution"}'"""
SHOW = "curl -s http://localhost:8000/runs/1"
EVENTS = "curl -s http://localhost:8000/runs/1/events"
WORKER = "curl http://localhost:8000/worker/status"
PROCESS = "curl -X POST http://localhost:8000/worker/process"

KEYS = [
    "state",
    "running",
    "last_run",
    "next_run",
    "interval_minutes",
    "run_count",
    "error_count",
    "last_error",
    "total_forecasts",
    "total_trades",
]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


@pytest.fixture
def server(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(copy_home(tmp_path_factory, tmp_path), AGENT_API_TOKEN="", TMPDIR=str(tmp_path)) as one:
        yield one


def typed(server: Served, command: str, tmp_path: Path) -> Any:
    """What a command of the seeds prints, as JSON."""
    own = command.replace("localhost:8000", server.url.removeprefix("http://").replace("127.0.0.1", "localhost"))
    own = own.replace("/tmp/test", str(tmp_path / "tmp-test"))
    done = subprocess.run(["sh", "-c", own], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def test_seed_000(server: Served, tmp_path: Path) -> None:
    def type_(command: str) -> Any:
        return typed(server, command, tmp_path)

    first = type_(STATUS)
    assert list(first) == KEYS
    assert first == dict.fromkeys(KEYS, None) | {
        "state": "stopped",
        "running": False,
        "interval_minutes": 60,
        "run_count": 0,
        "error_count": 0,
        "total_forecasts": 0,
        "total_trades": 0,
    }
    started = type_(START)
    assert list(started) == ["status", "message", "next_run"]
    assert (started["status"], started["message"]) == ("started", "Agent started with 60 minute interval")
    assert MOMENT.fullmatch(started["next_run"])
    status = type_(STATUS)
    assert (status["state"], status["running"], status["next_run"]) == ("running", True, started["next_run"])
    assert type_(INTERVAL) == {
        "status": "updated",
        "interval_minutes": 30,
        "message": "Interval updated to 30 minutes",
    }
    result = type_(RUN_ONCE)
    assert list(result) == ["success", "started_at", "completed_at", "error"]
    assert (result["success"], result["error"]) == (True, None)
    assert MOMENT.fullmatch(result["started_at"])
    assert MOMENT.fullmatch(result["completed_at"])
    status = type_(STATUS)
    assert (status["run_count"], status["last_run"]) == (1, result["started_at"])
    due = datetime.fromisoformat(status["next_run"]) - datetime.fromisoformat(result["started_at"])
    assert due < timedelta(minutes=30)
    assert type_(PAUSE) == {"status": "paused", "message": "Agent paused"}
    assert type_(RESUME) == {"status": "resumed", "message": "Agent resumed"}
    assert type_(STOP) == {"status": "stopped", "message": "Agent stopped successfully"}
    assert type_(STATUS)["state"] == "stopped"


def test_seed_002(server: Served, tmp_path: Path) -> None:
    def type_(command: str) -> Any:
        return typed(server, command, tmp_path)

    assert type_(WORKER) == {"running": True, "check_interval": 5}
    project = type_(PROJECT)
    assert (project["id"], project["name"]) == (1, "test")
    # So that its run takes a moment only: the shape of the answers is what is tried here.
    copy_home_of(tmp_path, Path(project["local_path"]))
    run = type_(RUN)
    assert (run["id"], run["project_id"], run["goal"], run["status"]) == (
        1 + RUNS_BEFORE,
        1,
        "Test execution",
        "QUEUED",
    )
    show, events = (text.replace("runs/1", f"runs/{run['id']}") for text in (SHOW, EVENTS))
    assert type_(PROCESS)["status"] == "triggered"
    wait_until(lambda: type_(show)["status"] == "COMPLETED", seconds=60, what=server.log)
    done = type_(show)
    assert done["iteration"] == 7
    for moment in ("created_at", "started_at", "finished_at"):
        assert MOMENT.fullmatch(done[moment])
    told = [event["type"] for event in type_(events)]
    assert told[:4] == ["RUN_CREATED", "RUN_STARTED", "AGENT_THINKING", "PLAN_GENERATED"]
    assert told[4:] == ["EXECUTING"] * 7 + ["RUN_COMPLETED"]
    assert {"id", "run_id", "type", "payload", "created_at"} <= set(type_(events)[0])


RUNS_BEFORE = 1  # the copied home has run once


def copy_home_of(server_folder: Path, project_folder: Path) -> None:
    """Give the project the state and lake that the server's own folder has."""
    shutil.copytree(server_folder / ".tidemill", project_folder / ".tidemill", symlinks=True, dirs_exist_ok=True)


def test_nothing_starts_by_itself_and_a_stopped_server_leaves_no_runner(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy_home(tmp_path_factory, tmp_path)
    with served(tmp_path) as first:
        assert typed(first, START, tmp_path)["status"] == "started"
    with served(tmp_path) as second:
        status = typed(second, STATUS, tmp_path)
        assert (status["state"], status["next_run"]) == ("stopped", None)


def test_status_is_answered_at_once_while_a_cycle_computes(tmp_path: Path) -> None:
    quick = '[sources.sample]\nsymbols = ["IBM"]\n[model]\nkind = "logistic"\n[publish]\nmax_brier_excess = 1.0\n'
    (tmp_path / "agent.toml").write_text(quick, encoding="utf-8")
    with served(tmp_path) as server, server.client() as client, ThreadPoolExecutor() as pool:
        cycle = pool.submit(lambda: typed(server, RUN_ONCE, tmp_path))
        seconds = []
        while not cycle.done():
            before = time.perf_counter()
            assert client.get("/api/agent/status").status_code == 200
            seconds.append(time.perf_counter() - before)
            time.sleep(0.05)  # as often as a page would ask, and the cycle gets the processor
        assert cycle.result()["success"] is True
        # The median: the machine that runs the tests may be busy with others at single moments.
        assert statistics.median(seconds) < 0.05, sorted(seconds)[-5:]
        assert len(seconds) > 10
        assert client.get("/api/agent/status").json()["total_forecasts"] == 1


def test_events_are_streamed_and_an_open_stream_does_not_hold_the_server(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("[worker]\nenabled = false\n", encoding="utf-8")
    with served(tmp_path) as server, server.client() as client:
        run_id = client.post("/runs", json={"goal": "Test from UI"}).json()["id"]
        with client.stream("GET", f"/runs/{run_id}/events/stream") as stream:
            lines = stream.iter_lines()
            assert [next(lines) for _ in range(2)] == ["id: 1", "event: RUN_CREATED"]
            server.process.signal(signal.SIGTERM)
            before = time.monotonic()
            assert server.process.wait(30) in (0, -signal.SIGTERM)
            assert time.monotonic() - before < 10


def test_a_database_that_is_not_migrated_is_told_in_one_block(postgres_url: str, tmp_path: Path) -> None:
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}schema=nothing_in_it"
    done = subprocess.run(
        [sys.executable, "-m", "agent", "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(AGENT_DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "agent db upgrade" in done.stderr
    assert "Traceback" not in done.stderr
