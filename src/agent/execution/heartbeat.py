"""Keeps a lease alive while an attempt computes, and hears of what should end it: a lost lease, a cancelled run."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass, field

from agent.errors import AgentError
from agent.store import leases, runs
from agent.store.engine import Database

log = logging.getLogger("tidemill.heartbeat")
_LOOK_SECONDS = 1.0  # how often a cancellation is looked for


@dataclass
class Heartbeat:
    """A thread that extends the lease on `component` until the block is left.

    A database that does not answer is no reason to stop: the lease may outlive the fault, and if it does not, the
    commit with an old token is refused. `lost`: the lease was taken over.
    """

    database: Database
    component: str
    token: int
    run_id: int
    lease_seconds: float
    lost: bool = False
    _why: str | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Heartbeat:
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{self.component}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def reason_to_stop(self) -> str | None:
        """Why the attempt should end now, or None."""
        return self._why

    def _beat(self) -> None:
        pause = min(_LOOK_SECONDS, self.lease_seconds / 3)
        looks_a_beat = max(1, int(self.lease_seconds / 3 / pause))
        look = 0
        while not self._over.wait(pause):
            look += 1
            try:
                self._look(extend=look % looks_a_beat == 0)
            except AgentError as error:
                log.warning("the heartbeat of %s fails: %s; it goes on", self.component, error.what)

    def _look(self, *, extend: bool) -> None:
        if extend:
            sys.audit("tidemill.point", "heartbeat.extending")
            with self.database.writing() as connections:
                alive = leases.extend(connections.project, self.component, self.token, self.lease_seconds)
                runs.extend_run(connections.control, self.run_id, self.lease_seconds)
            sys.audit("tidemill.point", "heartbeat.extended")
            if not alive:
                self.lost = True
                self._why = f"the lease on {self.component} was taken over by another process"
        with self.database.reading() as connections:
            run = runs.load_run(connections.control, self.run_id)
        if run.cancel_requested:
            self._why = self._why or "the run was cancelled"
