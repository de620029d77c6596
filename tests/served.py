"""A real server for tests: `agent serve` as a process of its own on a free port, and folders it may serve."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import fasteners
import httpx
import pytest

from tests.processes import Nursery, Process, heavy_nursery
from tests.processes import environment as environment  # many tests know it from here

# A source that cannot be read: a run fails at its first component, within a second and without a child process.
FAILING = """
[executor]
kind = "inline"
[[sources.files.datasets]]
kind = "equity"
path = "no-such-folder"
interval_seconds = 86400
"""
INLINE = '[executor]\nkind = "inline"\n'


@dataclass
class Served:
    """A running server."""

    url: str
    process: Process
    folder: Path

    def client(self) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.url, timeout=120)

    def log(self) -> str:
        """What it logged so far."""
        return self.process.said()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(folder: Path, *arguments: str, nursery: Nursery | None = None, **env: str) -> Iterator[Served]:
    """`agent serve` in `folder`, stopped with SIGTERM at the end. Fails where it does not stop cleanly.

    By the heavy nursery, or another one: where nothing is computed, to start the heavy one costs more than it saves.
    """
    port = free_port()
    words = ["serve", "--port", str(port), *arguments]
    process = (nursery or heavy_nursery()).start(folder, "agent", words, folder / "server.log", env)
    server = Served(f"http://127.0.0.1:{port}", process, folder)
    try:
        wait_until(lambda: _answers(server), seconds=60, what=lambda: f"the server to answer:\n{server.log()}")
        yield server
        with suppress(ProcessLookupError):  # it has ended already
            process.signal(signal.SIGTERM)
        code = process.wait(60)
        assert code in (0, -signal.SIGTERM), f"exit code {code}:\n{server.log()}"
    finally:
        process.kill()


def wait_until(true: object, *, seconds: float = 30, what: object = "it") -> None:
    """Return once `true()` holds; fail after `seconds`."""
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")
        time.sleep(0.05)


def published_home(factory: pytest.TempPathFactory) -> Path:
    """A project folder in which the sample was published once: made by the first test of the session that asks."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # one for all workers of the session
    made = shared / "published"
    with fasteners.InterProcessLock(f"{made}.lock"):
        if not (made / "done").exists():
            made.mkdir(exist_ok=True)
            (made / "agent.toml").write_text(INLINE, encoding="utf-8")  # how it is computed counts for no version
            process = heavy_nursery().start(made, "orchestrator", ["--mode", "once"], made / "output")
            assert process.wait() == 0, process.said()
            (made / "done").touch()
    return made


def copy_home(factory: pytest.TempPathFactory, to: Path) -> Path:
    """A copy of `published_home` in folder `to`."""
    shutil.copytree(published_home(factory) / ".tidemill", to / ".tidemill", symlinks=True)
    return to


def _answers(server: Served) -> bool:
    if server.process.is_over:
        raise AssertionError(f"the server ended with {server.process.wait()}:\n{server.log()}")
    try:
        return httpx.get(f"{server.url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
