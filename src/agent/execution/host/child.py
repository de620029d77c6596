"""A project's code in a process of its own: what every long-lived process asks, and what runs compute in."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agent.execution.host.difference import Shelf
from agent.execution.host.failures import error_of
from agent.execution.host.interface import (
    ASK_SECONDS,
    LOAD_SECONDS,
    AttemptFailed,
    Cancelled,
    CodeMoved,
    Done,
    Failure,
    Fault,
    Origin,
    Probed,
    Progress,
    ProjectBusy,
    ProjectDied,
    ProjectFacts,
    Question,
    Stop,
    Task,
    late,
)
from agent.execution.host.process import Process
from pipelines.component import Deferral, Due

Wait = Callable[[], None]
_GENERATIONS = 3  # of code that changes while it is loaded


def no_wait() -> None:
    """Nothing to do while an answer is waited for."""


class ChildHost:
    """The project that `origin` describes, loaded by a process of its own. `wait` is called while an answer is waited
    for, and may raise to give the request up: its answer is dropped when it comes. Several threads may ask; they are
    answered one after the other.

    Raises what loading raises: CodeMoved, ProjectDied, ProjectBusy where it takes longer than LOAD_SECONDS.
    """

    is_here = False

    def __init__(self, origin: Origin, wait: Wait = no_wait) -> None:
        self.origin, self.wait = origin, wait
        self._turn = threading.Lock()
        self._process: Process | None = None
        self._shelf = Shelf()
        self._is_closed = False
        self.facts = ProjectFacts()
        with self._taken(wait):
            self.facts = self._repeated(self._load)

    def is_current(self) -> bool:
        """Whether its files and libraries are still what was loaded. A process that died is not."""
        with self._taken(self.wait):
            if self._process is None:
                return False
            try:
                return self._put(self._process, "is_current", limit=ASK_SECONDS, wait=self.wait) is True
            except (ProjectDied, ProjectBusy):
                self._process = None
                return False

    def probe(self, source: str) -> Probed:
        """Ask a source what it has."""
        found: Probed = self._ask("probe", source)
        return found

    def ask_policy(self, question: Question) -> Deferral | Due | None:
        """Ask the policy of a component that has one."""
        found: Deferral | Due | None = self._ask("ask_policy", question)
        return found

    def prepare(self, names: Sequence[str], expected: Mapping[str, str]) -> None:
        """Import all code behind the components `names`, and compare. Raises CodeMoved."""
        self._ask("prepare", list(names), dict(expected))

    def compute(self, task: Task, *, timeout: float, stop: Stop, progress: Progress) -> Done:
        """Compute an attempt there; end the process on timeout or when asked to stop, and say how it died if it did."""

        def wait() -> None:
            reason = stop()
            if reason is not None:
                raise Cancelled(reason)

        with self._taken(wait):
            process = self._process
            if process is None:
                raise AttemptFailed(Failure("", Fault("the project's process is gone", fix="run again")))
            try:
                found = self._put(
                    process,
                    "compute",
                    task,
                    limit=timeout,
                    wait=wait,
                    progress=progress,
                    start=lambda: sys.audit("tidemill.point", "child.asked"),
                )
            except ProjectBusy as error:
                self._process = None
                gone = late(timeout, f"child process {process.pid}")
                failure = Failure("", Fault(gone.what, gone.where, gone.fix), peak_memory_bytes=process.peak())
                raise AttemptFailed(failure) from error
            except ProjectDied as error:
                self._process = None
                raise _ended(error, process, stop) from error
            except BaseException:  # asked to stop, or a fault in who watches: nobody waits for it any more
                self._kill()
                raise
            if isinstance(found, Failure):
                raise _failed(found)
            sys.audit("tidemill.point", "child.answered")
            return self._shelf.restored_answer(found, task)

    def close(self) -> None:
        """End the process; whoever waits for an answer gets none."""
        self._is_closed = True
        process = self._process
        if process is not None:
            process.close()
        self._process = None

    @property
    def pid(self) -> int | None:
        """The process's number, while there is one."""
        process = self._process
        return None if process is None else process.pid

    @property
    def is_alive(self) -> bool:
        """Whether there is a process to ask."""
        return self._process is not None

    def _ask(self, name: str, *arguments: Any) -> Any:
        """Ask what may be asked again: once more, after a death."""

        def once() -> Any:
            if self._process is None:
                again = self._load()
                if again != self.facts:  # what was planned with is not what would answer
                    raise CodeMoved([str(self.origin.base)])
            assert self._process is not None
            try:
                return self._put(self._process, name, *arguments, limit=ASK_SECONDS, wait=self.wait)
            except (ProjectDied, ProjectBusy):
                self._process = None
                raise

        with self._taken(self.wait):
            found = self._repeated(once)
        if isinstance(found, Failure):
            raise error_of(found)
        return found

    def _put(self, process: Process, name: str, *arguments: Any, **options: Any) -> Any:
        """Ask the process, snapshots told by those that it has."""
        found: Any = None
        try:
            found = process.ask(name, *map(self._told, arguments), **options)
        finally:
            if found is None or isinstance(found, Failure):
                self._shelf.clear()
        return found

    def _told(self, argument: Any) -> Any:
        if isinstance(argument, Task):
            return self._shelf.condensed(argument)
        return self._shelf.condensed(argument) if isinstance(argument, Question) else argument

    def _repeated(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ProjectDied:
            if self._is_closed:
                raise
            return ask()

    def _load(self) -> ProjectFacts:
        """A new process with the project loaded."""
        process = Process(self.origin)
        try:
            found = process.load(self.origin, limit=LOAD_SECONDS, wait=self.wait)
            if isinstance(found, Failure):
                raise error_of(found)
        except BaseException:
            process.kill()
            raise
        self._process, self._shelf = process, Shelf()
        return found

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process = None

    @contextlib.contextmanager
    def _taken(self, wait: Wait) -> Iterator[None]:
        """This thread's turn to ask. Raises ProjectBusy where it does not come."""
        until = time.monotonic() + LOAD_SECONDS + ASK_SECONDS
        while not self._turn.acquire(timeout=0.05):
            wait()
            if time.monotonic() > until:
                raise ProjectBusy(
                    "the project's process is busy with other requests",
                    where=str(self.origin.base),
                    fix="try again later",
                )
        try:
            yield
        finally:
            self._turn.release()


def loaded(origin: Origin, wait: Wait = no_wait) -> ChildHost:
    """The project in a new process. Raises CodeMoved where its files change each time they are loaded."""
    for _ in range(_GENERATIONS - 1):
        try:
            return ChildHost(origin, wait)
        except CodeMoved:
            continue
    return ChildHost(origin, wait)


def _ended(error: ProjectDied, process: Process, stop: Stop) -> AttemptFailed | Cancelled:
    reported = stop() if error.code in (-signal.SIGTERM, -signal.SIGINT) else None
    if reported is not None:
        return Cancelled(reported)  # a service manager signals every process
    fault = Fault(error.what, f"child process {process.pid}", error.fix)
    return AttemptFailed(Failure("", fault, peak_memory_bytes=process.peak()))


def _failed(failure: Failure) -> CodeMoved | AttemptFailed:
    error = error_of(failure)
    return error if isinstance(error, CodeMoved) else AttemptFailed(failure)
