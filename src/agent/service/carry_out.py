"""Carries out one run that is RUNNING and ours, in whichever project: what worker and background runner share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from agent.clock import SystemClock
from agent.errors import AgentError
from agent.execution import session
from agent.execution.heartbeat import Beat
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

# Called when a run has ended, with its row and, where it could be opened, its project. The one place for what follows a
# run (alerts and tidying up today, the trading agent later). What it raises is logged and does not change the run.
AfterRun = Callable[[Run, Workspace | None], None]


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
            Beat(database, run.id, settings.executor.lease_seconds) as beat,
            open_project(settings, database, run.project_id) as workspace,
        ):
            session.perform(
                workspace,
                request,
                queued=run,
                manual=manual,
                wait=True,
                isolate=True,
                stop=lambda: beat.reason_to_stop() or stop(),
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
    follow_up(run, workspace, after_run)
    return run


def follow_up(run: Run, workspace: Workspace | None, after_run: tuple[AfterRun, ...]) -> None:
    """Do what follows the end of `run`. What goes wrong in it is logged, and touches neither the run nor the rest."""
    for follow in after_run:
        try:
            follow(run, workspace)
        except Exception:
            logger.exception("what follows run %s failed", run.id)


def _now() -> datetime:
    return SystemClock().now()
