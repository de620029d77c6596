"""The outside of a project's process: started, asked, and ended when it is late, given up, or not needed any more."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import agent
from agent.errors import AgentError
from agent.execution.host import wire
from agent.execution.host.interface import Origin, Progress, ProjectBusy, ProjectDied, ProjectFacts
from agent.execution.host.memory import peak_memory
from agent.version import VERSION

POLL_SECONDS = 0.05
_LAST_LINES = 10
_LINE_BYTES = 2000
# What a project's code has no business with: it reads no database, and serves nobody.
SECRETS = frozenset(
    {
        *("AGENT_DATABASE_URL", "AGENT_API_TOKEN", "AGENT_DASHBOARD_PASSWORD", "AGENT_WEBHOOK_SECRET"),
        "DATABASE_URL",
        *("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"),
    }
)
_PROGRAM = "agent.execution.host"


class Process:
    """A process that answers requests about one project, one at a time. `ask` is for one thread at a time."""

    def __init__(self, origin: Origin) -> None:
        self._numbers = itertools.count(1)
        self._base, self._path = origin.base, search_path(origin.base, origin.code_base)
        self._answers: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)
        self._is_closed = False
        self._peak: int | None = None
        self._child = start_host()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._stdin = self._child.stdin
        self._threads = [
            threading.Thread(target=self._read, args=(self._child.stdout,), name="answers", daemon=True),
            threading.Thread(target=self._pass_on, args=(self._child.stderr,), name="prints", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._child.pid

    def load(self, origin: Origin, *, limit: float, wait: Callable[[], None]) -> ProjectFacts:
        """Say hello, and let it load the project. Raises what loading raises, ProjectDied, ProjectBusy when late, and
        AgentError where the other side is of another version."""
        hello = {"path": self._path, "pythonpath": os.environ.get("PYTHONPATH")}
        until = time.monotonic() + limit
        answer = self._exchange(hello, until, wait, lambda *_: None)
        if answer != {"format": wire.FORMAT, "version": VERSION}:
            self.close()
            raise AgentError(
                f"the program on disk is another one ({answer.get('version')}) than this process ({VERSION})",
                where=str(Path(agent.__file__).parent),
                fix="restart this process",
            )
        facts: ProjectFacts = self.ask("load", origin, limit=until - time.monotonic(), wait=wait)
        return facts

    def ask(
        self,
        name: str,
        *arguments: Any,
        limit: float,
        wait: Callable[[], None],
        progress: Progress = lambda *_: None,
        start: Callable[[], None] = lambda: None,
    ) -> Any:
        """The answer, or a Failure. `wait` is called while it is waited for, and may raise to give the request up: its
        answer is dropped when it comes. Raises ProjectDied, ProjectBusy when it is late: it is ended then."""
        found = self._exchange([name, list(arguments)], time.monotonic() + limit, wait, progress, start)
        return found["failed"] if "failed" in found else found["done"]

    def peak(self) -> int | None:
        """Most memory that it was seen to hold, in bytes."""
        return self._peak

    def close(self) -> None:
        """End it, kindly: the end of its input is its sign to leave. It has a moment, unless it computes."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.kill()
        self._clear()

    def kill(self) -> None:
        """End it and whatever it has started, at once."""
        self._is_closed = True
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()
        self._child.wait()
        self._clear()

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)  # what it started may hold its output open

    def _exchange(
        self,
        value: Any,
        until: float,
        wait: Callable[[], None],
        progress: Progress,
        start: Callable[[], None] = lambda: None,
    ) -> Any:
        number = next(self._numbers)
        try:
            wire.write_frame(self._stdin, number, value)
            start()
        except (OSError, ValueError) as error:  # it died before it could listen, or was ended
            raise self._death() from error
        look_at = time.monotonic()
        while True:
            if time.monotonic() >= look_at:  # also while it reports progress without a pause
                self._peak = peak_memory(self._child.pid) or self._peak
                wait()
                if time.monotonic() >= until:
                    raise self._late()
                look_at = time.monotonic() + POLL_SECONDS
            try:
                frame = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if frame is None:
                self._answers.put(None)  # for whoever asks next
                raise self._death()
            answered, content = frame
            if answered != number:
                continue  # of a request that was given up
            if isinstance(content, dict) and "progress" in content:
                progress(*content["progress"])
                continue
            return content

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            while (frame := wire.read_frame(stream)) is not None:
                self._answers.put(frame)
        self._answers.put(None)

    def _pass_on(self, stream: IO[bytes]) -> None:
        """What it prints, to our standard error; the last lines are kept."""
        with contextlib.suppress(OSError, ValueError), stream:
            while line := stream.readline(_LINE_BYTES):
                self._last.append(line)
                with contextlib.suppress(OSError):
                    os.write(2, line)

    def _late(self) -> ProjectBusy:
        number = self._child.pid
        self.kill()
        return ProjectBusy(
            "the code of the project did not answer in time, and its process was ended",
            where=f"{self._base}, process {number}",
            fix="look for what takes so long when its modules are imported or its sources are probed",
        )

    def _death(self) -> ProjectDied:
        was_closed = self._is_closed
        code = self._child.wait() if self._child.poll() is None and self._has_ended() else self._child.poll()
        self.kill()
        return ProjectDied(
            _how(code if code is not None else -9, peak=self._peak, was_closed=was_closed) + _quoted(self._last),
            where=f"{self._base}, process {self._child.pid}",
            fix="check what its code does, the machine's memory and the system log, then run again",
            code=code,
        )

    def _has_ended(self) -> bool:
        """Whether it ends within a moment of the end of its output."""
        try:
            self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return False
        return True


def start_host() -> subprocess.Popen[bytes]:
    """A new process in a group of its own, so that what is meant for this one's group does not reach it."""
    options: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x200}
    optimised = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    try:
        return subprocess.Popen(
            # -P: neither the current folder nor the project's goes first on the search path.
            [sys.executable, "-P", *optimised, "-m", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment_of_host(),
            **options,
        )
    except OSError as error:
        raise ProjectDied(
            f"cannot start a process for the project: {error.strerror or error}",
            where=sys.executable,
            fix="check the machine's memory and limits (ulimit -u)",
        ) from error


def environment_of_host() -> dict[str, str]:
    """This process's environment without secrets; a checkout's packages are found in it."""
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    here = str(Path(agent.__file__).resolve().parents[1])
    if "site-packages" not in here:  # a checkout; installed packages are found anyway
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return environment


def search_path(base: Path, code_base: Path | None = None) -> list[str]:
    """This process's search path; the folder of the moment and the project's go last, so that a file called like a
    module of ours or of a library stands in nobody's way. Own modules of `code_base`, where that is another folder, are
    found instead of the project's."""
    here, code = str(Path.cwd()), str(code_base or base)
    own = {"", here, str(base), code}
    last = [folder or here for folder in sys.path if folder in own]
    hidden = {str(base)} - {code}
    return [
        *(folder for folder in sys.path if folder not in own),
        *(folder for folder in dict.fromkeys([*last, code]) if folder not in hidden),
    ]


def _how(code: int, *, peak: int | None, was_closed: bool) -> str:
    if was_closed:
        return "the project's process was ended while it was asked"
    used = f"; it had used {peak / 2**20:.0f} MB" if peak else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        cause = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"the process that computed it was killed by {name}{cause}{used}"
    return f"the process that computed it exited with code {code} before it was done{used}"


def _quoted(lines: deque[bytes]) -> str:
    shown = [line.decode("utf-8", "replace").rstrip() for line in lines]
    return "; its last words:\n    " + "\n    ".join(shown) if any(shown) else ""
