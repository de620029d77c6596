"""What a run tells while it goes: events for the database and for whoever watches in this process.

Events are gathered and written with the next commit (a run with nothing to do writes all it has to say in one), or at
once before something long begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import datetime

from agent.clock import Clock
from agent.core.events import Event, Progress
from agent.store import leases
from agent.store.control import events, runs
from agent.store.control.runs import Run
from agent.store.database.engine import Connections, Database
from agent.store.leases import Lease
from pipelines.values import dataclass

Watcher = Callable[[Event | Progress], None]


@dataclass(frozen=True)
class Request:
    """A run as asked for. `targets` empty means everything; `force` recomputes these whatever their state."""

    goal: str = "refresh up to publish"
    targets: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    trigger: str = "person"


@dataclass
class RunLog:
    """Events of one run. The run's row is written with the first of them unless it comes from the queue."""

    database: Database
    clock: Clock
    request: Request
    owner: str
    lease_seconds: float
    git_commit: str | None = None
    run: Run | None = None
    watchers: tuple[Watcher, ...] = ()
    iteration: int = 0
    has_started: bool = False
    _noted: int = 0  # the iteration that the run's row shows
    _waiting: list[tuple[Event, datetime]] = field(default_factory=list)

    @property
    def run_id(self) -> int:
        assert self.run is not None, "the run's row is written by the first flush"
        return self.run.id

    @property
    def lease(self) -> Lease:
        """The lease that this process carries the run out under."""
        assert self.run is not None, "the run's row is written by the first flush"
        return Lease(leases.of_run(self.run.id), self.run.lease_token)

    def add(self, event: Event) -> None:
        """Report to the watchers now, to the database with the next flush."""
        self._waiting.append((event, self.clock.now()))
        for watch in self.watchers:
            watch(event)

    @contextmanager
    def writing(self) -> Iterator[Connections]:
        """A writing transaction that ends with the events that wait to be written. If it fails, that waits on."""
        before = self.run, self._noted, list(self._waiting)
        try:
            with self.database.writing() as connections:
                yield connections
                self.flush(connections)
        except BaseException:
            self.run, self._noted, self._waiting = before
            raise

    def flush(self, connections: Connections) -> None:
        """Write what waits, within `writing`; the run's row first if it is not there yet."""
        if self.run is None:
            self.run = runs.create_run(
                connections.control,
                project_id=self.database.project_id,
                goal=self.request.goal,
                targets=self.request.targets,
                force=self.request.force,
                trigger=self.request.trigger,
                status="RUNNING",
                owner=self.owner,
                lease_seconds=self.lease_seconds,
                try_id=self.database.try_id,
                git_commit=self.git_commit,
                iteration=self.iteration,
                now=self.clock.now(),
            )
            self._noted = self.iteration
        if self._waiting:
            iteration = None if self.iteration == self._noted else self.iteration
            events.append_all(connections.control, self.run.id, self._waiting, iteration=iteration)
            self._noted = self.iteration
        self._waiting = []
