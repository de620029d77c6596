"""Carries out one run that is RUNNING and ours, in whichever project: what worker and background runner share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from agent.clock import SystemClock
from agent.errors import AgentError, DatabaseError
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.workspace import Workspace
from agent.service import queue
from agent.service.projects import open_project
from agent.settings import Settings
from agent.store import runs
from agent.store.engine import Database
from agent.store.runs import Run
from pipelines.errors import PipelineError

logger = logging.getLogger("tidemill.service")
_LOOK_SECONDS = 1.0

# Called when a run has ended, with its row and, where it could be opened, its project. The one place for what follows a
# run (alerts today, the trading agent later). What it raises is logged and does not change the run.
AfterRun = Callable[[Run, Workspace | None], None]


@dataclass
class Keeper:
    """A thread that keeps the lease on a run while it is carried out, and hears when a person cancels it.

    An attempt's own heartbeat does so while something is computed; this one also while the run waits for a component
    that another process computes, or reads what is stale.
    """

    database: Database
    run_id: int
    lease_seconds: float
    _why: str | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Keeper:
        self._thread = threading.Thread(target=self._keep, name=f"run-{self.run_id}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def reason_to_stop(self) -> str | None:
        """Why the run should end now, or None."""
        return self._why

    def _keep(self) -> None:
        pause = min(_LOOK_SECONDS, self.lease_seconds / 3)
        looks_an_extension = max(1, int(self.lease_seconds / 3 / pause))
        look = 0
        while not self._over.wait(pause):
            look += 1
            try:
                self._look(extend=look % looks_an_extension == 0)
            except DatabaseError as error:
                logger.warning("the database does not answer the keeper of run %s: %s", self.run_id, error.what)

    def _look(self, *, extend: bool) -> None:
        if extend:
            with self.database.writing() as connections:
                runs.extend_run(connections.control, self.run_id, self.lease_seconds)
        with self.database.reading() as connections:
            run = runs.load_run(connections.control, self.run_id)
        if run.cancel_requested:
            self._why = "the run was cancelled"
        elif run.status != "RUNNING":
            self._why = f"the run was closed as {run.status} by another process"


def carry_out(
    settings: Settings,
    database: Database,
    run: Run,
    *,
    manual: bool,
    stop: Callable[[], str | None],
    after_run: tuple[AfterRun, ...] = (),
) -> Run:
    """Perform `run`, whatever comes of it; returns its row at the end. `settings` and `database` are the server's.

    manual: a person asked, so that the backoff of failed components is not waited for. Raises DatabaseError where its
    end could not be recorded: the next worker then closes it.
    """
    request = Request(goal=run.goal, targets=run.targets, force=run.force, trigger=run.trigger)
    try:
        with (
            Keeper(database, run.id, settings.executor.lease_seconds) as keeper,
            open_project(settings, database, run.project_id) as workspace,
        ):
            session.perform(
                workspace,
                request,
                queued=run,
                manual=manual,
                wait=True,
                isolate=True,
                stop=lambda: keeper.reason_to_stop() or stop(),
            )
            return _followed(database, run.id, workspace, after_run)
    except PipelineError as error:
        logger.error("run %s could not go on: %s", run.id, error)
        queue.fail(database, run.id, error, from_status="RUNNING", now=_now())
    except Exception as error:
        logger.exception("run %s ended by a fault in the program", run.id)
        fault = AgentError(
            f"a fault in the program: {type(error).__name__}: {error}",
            where=f"run {run.id}",
            mend="the log of the server or worker has the traceback; report it, and queue the run again",
        )
        queue.fail(database, run.id, fault, from_status="RUNNING", now=_now())
    return _followed(database, run.id, None, after_run)


def _followed(database: Database, run_id: int, workspace: Workspace | None, after_run: tuple[AfterRun, ...]) -> Run:
    with database.reading() as connections:
        run = runs.load_run(connections.control, run_id)
    for follow in after_run:
        try:
            follow(run, workspace)
        except Exception:
            logger.exception("what follows run %s failed", run_id)
    return run


def _now() -> datetime:
    return SystemClock().now()
