"""The process that a run computes in: started at its first heavy attempt, checked to hold the planned code, ended with
the run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from agent.execution.host.failures import failure_of
from agent.execution.host.interface import AttemptFailed, Cancelled, CodeMoved, Done, Host, Origin, Progress, Stop, Task
from pipelines.settings import Faults
from pipelines.values import dataclass

if TYPE_CHECKING:
    from agent.execution.host.child import ChildHost

_TURN_SECONDS = 0.2


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_slots = threading.BoundedSemaphore(_cores())  # computing processes that this one may have at a time


@dataclass
class Computer:
    """Computes the attempts of one run: where the project was planned (`host`), or in a process of their own.

    kind: "inline" computes where it was planned, without a second process. "processes" does so for light components of
    a command, whose project lies in this very process; everything else goes to the second one.
    """

    host: Host
    origin: Origin
    kind: Literal["processes", "inline"]
    _child: ChildHost | None = field(default=None, repr=False)

    def compute(self, task: Task, *, timeout: float, stop: Stop, progress: Progress) -> Done:
        """The attempt's result, computed by code that is the one planned with.

        Raises AttemptFailed, Cancelled, and CodeMoved where the code is another by now: nothing was computed then."""
        facts = self.host.facts
        is_light = self.host.is_here and not facts.components[task.component].heavy
        if self.kind == "inline" or is_light:
            with _as_attempt():
                self.host.prepare([task.component], facts.contents([task.component]))
            return self.host.compute(task, timeout=timeout, stop=stop, progress=progress)
        child = self._ready(stop)
        return child.compute(task, timeout=timeout, stop=stop, progress=progress)

    def close(self) -> None:
        """End the process, if there is one."""
        if self._child is not None:
            self._child.close()
            self._child = None
            _slots.release()

    def _ready(self, stop: Stop) -> ChildHost:
        """The process, with all code of the project in memory; another one after a crash or a timeout."""
        from agent.execution.host.child import ChildHost

        if self._child is not None and self._child.is_alive:
            return self._child
        self.close()

        def wait() -> None:
            reason = stop()
            if reason is not None:
                raise Cancelled(reason)

        while not _slots.acquire(timeout=_TURN_SECONDS):
            wait()
        child = None
        try:
            with _as_attempt():
                child = ChildHost(self.origin, wait)
                faults = Faults(str(self.origin.base))
                faults.add_texts(child.facts.faults)
                faults.raise_if_any()
                names = [name for name, one in self.host.facts.components.items() if one.code is not None]
                child.prepare(names, self.host.facts.contents(names))
        except BaseException:
            if child is not None:
                child.close()
            _slots.release()
            raise
        self._child = child
        return child


@contextlib.contextmanager
def _as_attempt() -> Iterator[None]:
    """What goes wrong while code is loaded to compute is the failure of the attempt that needed it."""
    try:
        yield
    except (AttemptFailed, Cancelled, CodeMoved):
        raise
    except Exception as error:
        raise AttemptFailed(failure_of(error)) from error
