"""Threads that keep a lease alive while work goes on, and hear of what should end it: a lost lease, a cancelled run."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass, field
from typing import Self

from agent.errors import AgentError
from agent.store import leases, runs
from agent.store.engine import Database

log = logging.getLogger("tidemill.heartbeat")
_LOOK_SECONDS = 1.0  # how often a cancellation is looked for


@dataclass
class Beat:
    """A thread that extends the lease on run `run_id`, and hears when a person cancels it, until the block is left.

    A database that does not answer is no reason to stop: the lease may outlive the fault.
    """

    database: Database
    run_id: int
    lease_seconds: float
    _why: str | None = field(default=None, kw_only=True)
    _over: threading.Event = field(default_factory=threading.Event, kw_only=True)
    _thread: threading.Thread | None = field(default=None, kw_only=True)

    @property
    def what(self) -> str:
        """What is kept alive, for the log."""
        return f"run {self.run_id}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of {self.what}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def reason_to_stop(self) -> str | None:
        """Why the work should end now, or None."""
        return self._why

    def extend(self) -> None:
        """Extend the lease."""
        with self.database.writing() as connections:
            runs.extend_run(connections.control, self.run_id, self.lease_seconds)

    def _beat(self) -> None:
        pause = min(_LOOK_SECONDS, self.lease_seconds / 3)
        looks_an_extension = max(1, int(self.lease_seconds / 3 / pause))
        look, is_failing = 0, False
        while not self._over.wait(pause):
            look += 1
            try:
                if look % looks_an_extension == 0:
                    self.extend()
                self._look()
            except AgentError as error:
                if not is_failing:  # said once: a database may be away for hours
                    log.warning("the heartbeat of %s fails: %s; it goes on", self.what, error.what)
                is_failing = True
            else:
                if is_failing:
                    log.warning("the heartbeat of %s is back", self.what)
                is_failing = False

    def _look(self) -> None:
        with self.database.reading() as connections:
            run = runs.load_run(connections.control, self.run_id)
        if run.cancel_requested:
            self._why = self._why or "the run was cancelled"
        elif run.status != "RUNNING":
            self._why = self._why or f"the run was closed as {run.status} by another process"


@dataclass
class Heartbeat(Beat):
    """The same for the lease on `component`, too. `lost`: it was taken over; the commit is refused then."""

    component: str
    token: int
    lost: bool = False

    @property
    def what(self) -> str:
        """What is kept alive, for the log."""
        return self.component

    def extend(self) -> None:
        """Extend both leases."""
        sys.audit("tidemill.point", "heartbeat.extending")
        with self.database.writing() as connections:
            alive = leases.extend(connections.project, self.component, self.token, self.lease_seconds)
            runs.extend_run(connections.control, self.run_id, self.lease_seconds)
        sys.audit("tidemill.point", "heartbeat.extended")
        if not alive:
            self.lost = True
            self._why = f"the lease on {self.component} was taken over by another process"
