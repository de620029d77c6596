"""The inside of a project's process: answers one request after the other, leaves when its standard input ends.

The frames travel over what were standard input and output at the start. Whoever prints to standard output after that
(a component, a library in C) writes to standard error.
"""

from __future__ import annotations

import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any

from agent.execution.host import wire
from agent.execution.host.difference import Shelf
from agent.execution.host.failures import failure_of
from agent.execution.host.interface import Origin
from agent.execution.host.local import LocalHost
from agent.execution.host.memory import peak_memory, reset_peak_memory
from agent.version import VERSION
from pipelines.plugins.generation import import_from_source


def serve() -> None:
    """The process's life."""
    for one in (signal.SIGINT, signal.SIGTERM):  # service managers reach the whole group: the parent decides
        signal.signal(one, signal.SIG_IGN)
    requests, answers = _take_over_streams()
    waiting: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting), name="requests", daemon=True).start()
    number, start = waiting.get()
    _settle(start)
    wire.write_frame(answers, number, {"format": wire.FORMAT, "version": VERSION})
    _Server(answers).answer_all(waiting)


class _Server:
    """Answers requests with the project that it was given to load."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self._host: LocalHost | None = None
        self._shelf = Shelf()

    def answer_all(self, waiting: queue.SimpleQueue[tuple[int, Any]]) -> None:
        """Until the process is ended."""
        while True:
            number, (name, arguments) = waiting.get()
            try:
                reset_peak_memory()
                answer = {"done": self._do(number, name, arguments)}
                frame = wire.encode(answer)
                if name == "compute":
                    sys.audit("tidemill.point", "child.computed")
            except (Exception, SystemExit) as error:
                if isinstance(error, SystemExit) and name == "compute":
                    raise  # the process does what the component wants, and its end is the answer
                frame = wire.encode({"failed": failure_of(error, peak=peak_memory(os.getpid()))})
            wire.write_body(self._answers, number, frame)

    def _do(self, number: int, name: str, arguments: list[Any]) -> Any:
        if name == "load":
            origin: Origin = arguments[0]
            self._host = LocalHost(origin)
            return self._host.facts
        assert self._host is not None, "loading comes first"
        if name == "compute":

            def progress(done: int, total: int, what: str) -> None:
                wire.write_frame(self._answers, number, {"progress": [done, total, what]})

            task = self._shelf.restored(arguments[0])
            found = self._shelf.condensed_answer(self._host.work(task, progress), task)
            return replace(found, peak_memory_bytes=peak_memory(os.getpid()))
        if name == "ask_policy":
            return self._host.ask_policy(self._shelf.restored(arguments[0]))
        does: Mapping[str, Callable[..., Any]] = {
            "is_current": self._host.is_current,
            "probe": self._host.probe,
            "prepare": self._host.prepare,
        }
        return does[name](*arguments)


def _take_over_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The streams of the frames, out of everybody else's reach."""
    requests, answers = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed shortly before a crash is worth most
    # Unbuffered: a buffer's lock, held by the thread that reads, would break the end of the interpreter.
    return os.fdopen(requests, "rb", buffering=0), os.fdopen(answers, "wb")


def _listen(requests: IO[bytes], waiting: queue.SimpleQueue[tuple[int, Any]]) -> None:
    """Read ahead, so that the end of the parent is seen at once: no orphan computes for nobody."""
    while (frame := wire.read_frame(requests)) is not None:
        waiting.put(frame)
    os._exit(0)


def _settle(start: Mapping[str, Any]) -> None:
    """Become like the parent: its search path, where the project's folder never comes first."""
    sys.path[:] = start["path"]
    if start["pythonpath"] is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = start["pythonpath"]
    import_from_source()
