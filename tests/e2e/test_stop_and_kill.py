"""A server that is asked to stop, or killed, in the middle of a cycle: who asked is answered, the cycle counts."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.processes import heavy_nursery
from tests.served import Served, free_port, served, wait_until

SLOW = '''"""A component that goes on until it is told not to."""

import time
from pathlib import Path

from pipelines.component import component


@component(name="slow")
def slow(ctx, settings):
    here = Path({folder!r})
    (here / "begun").touch()
    while not (here / "go").exists():
        time.sleep(0.05)
    ctx.write_bytes("done", b"1")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW.format(folder=str(tmp_path)), encoding="utf-8")
    (tmp_path / "agent.toml").write_text(
        "[project]\nmodules = ['slow.py']\n[worker]\nenabled = false\n", encoding="utf-8"
    )
    return tmp_path


def begun(server: Served, path: str, answers: list[httpx.Response]) -> threading.Thread:
    """POST `path` in a thread; returns once the cycle computes."""
    (server.folder / "begun").unlink(missing_ok=True)
    thread = threading.Thread(target=lambda: answers.append(httpx.post(server.url + path, timeout=60)))
    thread.start()
    wait_until((server.folder / "begun").exists, what="the cycle to compute")
    return thread


def test_sigterm_during_run_once_and_stop_answers_their_clients(folder: Path) -> None:
    answers: list[httpx.Response] = []
    with served(folder) as server:
        httpx.post(f"{server.url}/api/agent/start").raise_for_status()
        first = begun(server, "/api/agent/run-once", answers)
        second = threading.Thread(target=lambda: answers.append(httpx.post(f"{server.url}/api/agent/stop", timeout=60)))
        second.start()
        wait_until(lambda: httpx.get(f"{server.url}/api/agent/status").json()["next_run"] is None, what="the stop")
        server.process.signal(signal.SIGTERM)
        first.join(60)
        second.join(60)
        server.process.wait(60)
    assert [one.status_code for one in answers] == [503, 503]
    for one in answers:
        assert one.json()["state"] in ("running", "stopped")
        assert "asked to stop" in one.json()["detail"]


def test_a_cycle_that_was_killed_counts(folder: Path) -> None:
    port = free_port()
    process = heavy_nursery().start(folder, "agent", ["serve", "--port", str(port)], folder / "first.log", {})
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), seconds=60, what=process.said)

        def ask() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{url}/api/agent/run-once", timeout=60)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until((folder / "begun").exists, what="the cycle to compute")
    finally:
        process.kill()
        process.wait()
    thread.join(60)
    (folder / "go").touch()
    with served(folder) as again:
        status = httpx.get(f"{again.url}/api/agent/status").json()
        assert (status["run_count"], status["error_count"]) == (1, 1)
        assert "died" in status["last_error"]
        assert status["last_run"] is not None
        httpx.post(f"{again.url}/api/agent/run-once", timeout=60).raise_for_status()
        status = httpx.get(f"{again.url}/api/agent/status").json()
        assert (status["run_count"], status["error_count"]) == (2, 1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
