"""Processes of the project's programs for tests, forked by a nursery: see tests/torture/nursery.py."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.paths import PROJECT
from tests.torture.faults import kill_all

PLUGINS = PROJECT / "tests" / "torture" / "plugins"
PATIENCE = 120.0


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of ours, with the sources of this checkout."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("AGENT_", "WORKER_", "TRADING"))
    }
    return {**inherited, "PYTHONPATH": str(PROJECT / "src"), **more}


@dataclass
class Process:
    """A process that was started; `status` as of subprocess: the exit code, or minus the signal."""

    pid: int
    output: Path
    _ended: threading.Event = field(default_factory=threading.Event)
    _status: int | None = None

    def end(self, status: int) -> None:
        self._status = status
        self._ended.set()

    @property
    def is_over(self) -> bool:
        return self._ended.is_set()

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit status, when it has ended. Fails with what it said where it does not end in time."""
        assert self._ended.wait(seconds), f"pid {self.pid} still runs after {seconds} s:\n{self.said()}"
        assert self._status is not None
        return self._status

    def wait_at_most(self, seconds: float) -> None:
        """Until it has ended, or for this long."""
        self._ended.wait(seconds)

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""

    def kill(self) -> None:
        """SIGKILL for it and what it started, unless it is over: its number may be another's by then."""
        with suppress(ProcessLookupError):
            if not self.is_over and os.getpgid(self.pid) == self.pid:
                kill_all(self.pid)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait_until_stopped(self) -> None:
        """Until SIGSTOP has taken hold, or it has ended."""
        while not self.is_over:
            with suppress(OSError):  # it is gone, and the nursery will say so in a moment
                if Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt":
                    return
            self._ended.wait(0.002)


class Nursery:
    """The process that forks the others, see tests.torture.nursery; `heavy` for what computes with real components."""

    def __init__(self, *, heavy: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.nursery", *(["heavy"] if heavy else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=environment(PYTHONPATH=os.pathsep.join(map(str, (PROJECT, PROJECT / "src", PLUGINS)))),
            process_group=0,
        )
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._started: queue.Queue[dict[str, Any]] = queue.Queue()
        self._living: dict[int, Process] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.hosts: str = self._started.get(timeout=PATIENCE)["hosts"]  # where it forks projects' processes

    def start(
        self,
        cwd: Path,
        program: str,
        arguments: Sequence[str],
        output: Path,
        env: dict[str, str] | None = None,
        errors: Path | None = None,
    ) -> Process:
        """Start a program; it writes to `output`, and to `errors` what goes to standard error, by default the same."""
        with self._lock:
            number = next(self._ids)
            order = {
                "id": number,
                "cwd": str(cwd),
                "program": program,
                "arguments": list(arguments),
                "env": env or {},
                "output": str(output),
                "errors": str(errors or output),
            }
            process = self._living[number] = Process(0, output)
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            process.pid = self._started.get(timeout=PATIENCE)["pid"]
            return process

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE)
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "status" in said:
                self._living.pop(said["id"]).end(said["status"])
            else:
                self._started.put(said)


@cache
def heavy_nursery() -> Nursery:
    """The one of this process that has what computes, serves and shows imported; `close_heavy_nursery` ends it."""
    return Nursery(heavy=True)


def close_heavy_nursery() -> None:
    """At the end of a session: end it, if there is one."""
    if heavy_nursery.cache_info().currsize:
        heavy_nursery().close()
        heavy_nursery.cache_clear()
