"""Works off the run queue: plans runs that wait for approval, claims queued ones and carries them out in order.

Any number of workers may do so on one database. A run is claimed by a conditional update, so that no two carry it out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import field
from datetime import datetime

from agent import identity
from agent.clock import Clock, SystemClock
from agent.errors import DatabaseError
from agent.runtime.around import Around, Ended
from agent.service import queue
from agent.service.carry_out import carry_out
from agent.service.projects import open_project
from agent.settings import Settings
from agent.store.control import approvals, measures, runs
from agent.store.control.runs import Run
from agent.store.database import notify
from agent.store.database.engine import Database
from pipelines.errors import PipelineError
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.worker")
STOPPED = "the worker was asked to stop"
_LISTEN_SECONDS = 1.0


@dataclass
class Worker:
    """A worker. `start` and `stop` run it in a thread; `process` works off one batch in the caller's."""

    settings: Settings
    database: Database
    around: Around
    clock: Clock = field(default_factory=SystemClock)
    _wake: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _extra: threading.Thread | None = None
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def running(self) -> bool:
        """Whether it looks into the queue by itself."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Work off the queue in a thread, until `stop`."""
        self._thread = threading.Thread(target=self.run, name="worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a run that is being carried out is given up cleanly. Returns when nothing runs any more."""
        self._over.set()
        self._wake.set()
        for thread in (self._thread, self._extra):
            if thread is not None:
                thread.join()

    def wake(self) -> None:
        """Look into the queue now, if it does so by itself."""
        self._wake.set()

    def trigger(self) -> None:
        """Look into the queue now in any case: where it does not by itself, one batch is worked off in a thread."""
        if self.running:
            self.wake()
        elif self._extra is None or not self._extra.is_alive():
            self._extra = threading.Thread(target=self._one_batch, name="worker-batch", daemon=True)
            self._extra.start()

    def run(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Work off the queue, each `check_interval` seconds and whenever woken, until `stop` or `stopped` says so."""
        logger.info("worker started (check interval: %g s)", self.settings.worker.check_interval)
        listener = threading.Thread(target=self._listen, name="worker-listen", daemon=True)
        if notify.can_listen(self.database.control):
            listener.start()
        while not self._over.is_set() and not stopped():
            self._wake.clear()
            if self._one_batch(stopped) < self.settings.worker.batch_size:
                self._pause(stopped)
        self._over.set()
        if listener.ident is not None:
            listener.join()

    def process(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Work off at most one batch, now; returns how many runs it took."""
        with self._one_at_a_time:
            self._tidy()
            taken = 0
            while taken < self.settings.worker.batch_size and not self._over.is_set() and not stopped():
                if not self._ask_for_approval():
                    run = self._claim()
                    if run is None:
                        break
                    logger.info("run %s: %s", run.id, run.goal)
                    ended = carry_out(
                        self.settings,
                        self.database,
                        run,
                        manual=True,
                        stop=lambda: STOPPED if self._over.is_set() or stopped() else None,
                        around=self.around,
                    )
                    logger.info("run %s: %s", ended.id, ended.status)
                taken += 1
            return taken

    def _one_batch(self, stopped: Callable[[], bool] = lambda: False) -> int:
        try:
            return self.process(stopped)
        except DatabaseError as error:
            logger.warning("the worker could not look into the queue, and tries again: %s", error)
            return 0

    def _tidy(self) -> None:
        """Close what dead processes left RUNNING and what nobody approved in time."""
        queue.expire_overdue(self.database, self._now())
        with self.database.reading() as connections:
            if not runs.any_running(connections.control):
                return
        with self.database.writing() as connections:
            closed = runs.abandon_runs(connections.control, self._now())
        for run in closed:
            logger.warning("run %s was left behind by a process that died; it is closed as FAILED", run.id)
            if run.try_id != 0:  # nothing follows a try, and `agent try` goes on with it
                continue
            self._follow(run.id)
            again = queue.retry_lost(self.database, run, most=self.settings.worker.retry_lost, now=self._now())
            if again is not None:
                logger.warning("run %s is queued again as run %s ([worker] retry_lost)", run.id, again.id)

    def _claim(self) -> Run | None:
        with self.database.reading() as connections:  # most looks find nothing, and need no writing transaction
            if not measures.count_queued(connections.control):
                return None
        with self.database.writing() as connections:
            return runs.claim_next(
                connections.control,
                identity.own(),
                self.settings.executor.lease_seconds,
                most_per_project=self.settings.worker.most_per_project,
            )

    def _ask_for_approval(self) -> bool:
        """Plan the oldest run that needs approval and has not been asked for; False where there is none."""
        with self.database.reading() as connections:
            run_id = approvals.next_to_ask(connections.control)
            if run_id is None:
                return False
            run = runs.load_run(connections.control, run_id)
        try:
            with open_project(self.settings, self.database, run.project_id) as workspace:
                queue.ask_approval(workspace, self.settings, run, self._now())
        except DatabaseError:
            raise
        except PipelineError as error:
            if queue.fail(self.database, run.id, error, from_status="QUEUED", now=self._now()):
                self._follow(run.id)
        return True

    def _follow(self, run_id: int) -> None:
        """Do what follows a run whose project was not opened."""
        with self.database.reading() as connections:
            run = runs.load_run(connections.control, run_id)
        self.around.follow(Ended(run, self.settings, self.database))

    def _pause(self, stopped: Callable[[], bool]) -> None:
        """Wait for the next look, or less where woken or stopped."""
        remaining = self.settings.worker.check_interval
        while remaining > 0 and not self._over.is_set() and not stopped():
            step = min(remaining, _LISTEN_SECONDS)
            if self._wake.wait(step):
                return
            remaining -= step

    def _listen(self) -> None:
        """Let announcements of the database wake the worker; looks by the clock go on where that fails."""
        while not self._over.is_set():
            try:
                with notify.listening(self.database.control) as heard:
                    while not self._over.is_set():
                        if heard(_LISTEN_SECONDS):
                            self._wake.set()
            except DatabaseError as error:
                logger.warning("not listening for new runs: %s", error.what)
                self._over.wait(self.settings.worker.check_interval)

    def _now(self) -> datetime:
        return self.clock.now()
