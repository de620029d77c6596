"""A thread that keeps leases alive while work goes on, and learns what should end it: a lost lease, a cancelled run."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Self

from agent.errors import AgentError
from agent.store import leases
from agent.store.control import runs
from agent.store.database.engine import Database
from agent.store.leases import Lease
from pipelines.values import dataclass

log = logging.getLogger("tidemill.heartbeat")
_LOOK_SECONDS = 1.0  # how often a cancellation is looked for


@dataclass
class LeaseKeeper:
    """Extends `held` by `seconds`, and asks `look` why the work should end, until the block is left.

    `what` is kept alive, for the log. `lost` are the names of leases that were taken over: a commit under one of them
    is refused. A database that does not answer is no reason to stop: the lease may outlive the fault.
    """

    database: Database
    what: str
    held: tuple[Lease, ...]
    seconds: float
    look: Callable[[], str | None] = lambda: None
    lost: set[str] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)  # of who reads or changes `held`
    _why: str | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Begin, where the work is no block: until `stop`."""
        self._thread = threading.Thread(target=self._keep, name=f"heartbeat of {self.what}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Extend nothing any more; the thread is over on return."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    @contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """Keep one more lease alive while a block runs; nothing extends it any more when it is left. Where the block
        ends well it gave the lease back, which may look like a loss meanwhile."""
        with self._turn:
            self.held = (*self.held, lease)
        try:
            yield
        except BaseException:
            self._drop(lease)
            raise
        self._drop(lease)
        self.lost.discard(lease.name)

    def _drop(self, lease: Lease) -> None:
        with self._turn:
            self.held = tuple(one for one in self.held if one != lease)

    def reason_to_stop(self) -> str | None:
        """Why the work should end now, or None."""
        for name in tuple(self.lost):
            return f"the lease on {name.replace(':', ' ')} was taken over by another process"
        return self._why

    def extend(self) -> None:
        """Extend the leases, all in one transaction."""
        sys.audit("tidemill.point", "heartbeat.extending")
        with self.database.writing() as connections:
            kept = {
                one.name: leases.extend(leases.connection_of(connections, one.name), one.name, one.token, self.seconds)
                for one in leases.in_lock_order(self.held)
            }
        sys.audit("tidemill.point", "heartbeat.extended")
        for one in self.held:
            if not kept[one.name]:
                self.lost.add(one.name)

    def _keep(self) -> None:
        pause = min(_LOOK_SECONDS, self.seconds / 3)
        looks_per_extension = max(1, int(self.seconds / 3 / pause))
        number, is_failing = 0, False
        while not self._over.wait(pause):
            number += 1
            try:
                with self._turn:
                    if number % looks_per_extension == 0:
                        self.extend()
                    self._why = self.look() or self._why
            except AgentError as error:
                if not is_failing:  # reported once: a database may be away for hours
                    log.warning("the heartbeat of %s fails: %s; it goes on", self.what, error.what)
                is_failing = True
            else:
                if is_failing:
                    log.warning("the heartbeat of %s is back", self.what)
                is_failing = False


def keep_run(database: Database, run_id: int, lease: Lease, *, seconds: float) -> LeaseKeeper:
    """Keep the lease that run `run_id` is carried out under; it should end when a person cancels the run."""

    def look() -> str | None:
        with database.reading() as connections:
            run = runs.load_run(connections.control, run_id)
        if run.cancel_requested:
            return "the run was cancelled"
        return None if run.status == "RUNNING" else f"the run was closed as {run.status} by another process"

    return LeaseKeeper(database, f"run {run_id}", (lease,), seconds, look)
