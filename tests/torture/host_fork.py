"""A project's process (`python -m agent.execution.host`) forked by a nursery instead of started from nothing.

What the product starts with Popen is a fork of a process that has the libraries imported: the same program, in a group
of its own, with the same streams, environment and end. Saved are the imports: 0.4 CPU seconds for a planner, 2 for a
process that fits a model. Tests whose subject is the start or the table of processes carry the mark `from_nothing`, and
whatever has TIDE_FROM_NOTHING or TIDE_FAULT in its environment starts real ones.

The nursery listens on a Unix socket. A connection is a process: JSON {"env"} with the three descriptors goes there,
{"pid"} and at its end {"status"} come back, one line each.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_BYTES = 1 << 16


class Forked:
    """What the product uses of subprocess.Popen, for a process that the nursery behind the socket `path` has forked."""

    def __init__(self, path: str, env: dict[str, str]) -> None:
        self.returncode: int | None = None
        self._lock = threading.RLock()
        self._heard = b""
        (request, in_write), (out_read, answer), (err_read, errors) = os.pipe(), os.pipe(), os.pipe()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(path)
            order = json.dumps({"env": env, "cwd": os.getcwd()}).encode()
            socket.send_fds(self._connection, [len(order).to_bytes(8, "big")], [request, answer, errors])
            self._connection.sendall(order)
        finally:
            for one in (request, answer, errors):
                os.close(one)
        self.stdin = os.fdopen(in_write, "wb", buffering=0)
        self.stdout, self.stderr = os.fdopen(out_read, "rb"), os.fdopen(err_read, "rb")
        self.pid: int = json.loads(self._line(None))["pid"]

    def poll(self) -> int | None:
        """The exit code as of Popen, or None while it runs."""
        with suppress(TimeoutError):
            self._ended(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises subprocess.TimeoutExpired."""
        try:
            return self._ended(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(["host"], timeout or 0) from None

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while not self._lock.acquire(timeout=0.01):  # another thread waits for the same end
            if self.returncode is None and until is not None and time.monotonic() > until:
                raise TimeoutError
        try:
            if self.returncode is None:
                left = None if until is None else max(0.0, until - time.monotonic())
                line = self._line(left)
                self.returncode = json.loads(line)["status"] if line else -signal.SIGKILL
                self._connection.close()
            return self.returncode
        finally:
            self._lock.release()

    def _line(self, timeout: float | None) -> bytes:
        """The nursery's next line; empty where the nursery has ended. Raises TimeoutError."""
        while b"\n" not in self._heard:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise TimeoutError
            more = self._connection.recv(_BYTES)
            if not more:
                return b""
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line


def fork_hosts_of(path: Callable[[], str]) -> Callable[[], Forked]:
    """What stands in for agent.execution.host.process.start_host: one that the nursery there forks."""

    def started() -> Forked:
        from agent.execution.host import process

        return Forked(path(), process.environment_of_host())

    return started


def lead_own_group(pid: int) -> None:
    """Put a process that was just forked into a group of its own before anybody hears of it: one that is killed before
    it has done so itself would take the nursery's group along, and with it the whole session of tests."""
    with suppress(OSError):  # it was quicker, or is over
        os.setpgid(pid, pid)


class Listener:
    """The nursery's side. `accept` returns in the nursery, and never in the process that it has forked."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "hosts")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(self.path)
        self.socket.listen(64)
        self._living: dict[int, socket.socket] = {}

    @property
    def pids(self) -> list[int]:
        """Of the processes that live."""
        return list(self._living)

    def accept(self) -> None:
        """Fork a process for a request."""
        connection, _ = self.socket.accept()
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        order = b""
        while len(order) < int.from_bytes(head, "big"):
            order += connection.recv(_BYTES)
        pid = os.fork()
        if pid == 0:
            self._become(streams, **json.loads(order))
        lead_own_group(pid)
        for one in streams:
            os.close(one)
        self._living[pid] = connection
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")

    def end(self, pid: int, status: int) -> bool:
        """Report the end of one; False where it is none of these."""
        connection = self._living.pop(pid, None)
        if connection is None:
            return False
        with suppress(OSError), connection:  # who asked may have gone
            connection.sendall(json.dumps({"status": status}).encode() + b"\n")
        return True

    def _become(self, streams: list[int], env: dict[str, str], cwd: str) -> None:
        code = 70
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, 4096)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            from agent.execution.host import __main__ as program
            from agent.execution.host.serving import serve

            sys.argv[:] = ["-m"]
            sys.modules["__main__"] = program  # a library that looks for the main module finds that of a host
            serve()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
