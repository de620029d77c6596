"""Carries out one run that is RUNNING and ours, in whichever project: what worker and background runner share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from agent.clock import SystemClock
from agent.errors import AgentError
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.session import NOTHING
from agent.execution.tries.code import code_of
from agent.execution.tries.performing import open_try
from agent.execution.workspace import Workspace
from agent.runtime.around import Around, Ended
from agent.runtime.keeper import keep_run
from agent.service import queue
from agent.service.projects import PLANNERS, open_project
from agent.service.trust import require_trusted_code
from agent.settings import Settings
from agent.store import leases
from agent.store.control import runs
from agent.store.control.runs import Run
from agent.store.database.engine import Database
from agent.store.leases import Lease
from agent.store.outputs import tries
from pipelines.errors import PipelineError

logger = logging.getLogger("tidemill.service")


def carry_out(
    settings: Settings,
    database: Database,
    run: Run,
    *,
    manual: bool,
    stop: Callable[[], str | None],
    around: Around,
) -> Run:
    """Perform `run`, whatever comes of it; returns its row at the end. `settings` and `database` are the server's.

    manual: a person asked, so that the backoff of failed components is not waited for. Raises DatabaseError where its
    end could not be recorded: the next worker then closes it.
    """
    request = Request(goal=run.goal, targets=run.targets, force=run.force, trigger=run.trigger)
    around = NOTHING if run.try_id != 0 else around  # nothing goes before a try, and nothing follows it
    lease = Lease(leases.of_run(run.id), run.lease_token)
    try:
        with (
            keep_run(database, run.id, lease, seconds=settings.executor.lease_seconds) as heart,
            _opened(settings, database, run) as workspace,
        ):
            session.perform(
                workspace,
                request,
                queued=run,
                manual=manual,
                wait=True,
                around=around,
                stop=lambda: heart.reason_to_stop() or stop(),
            )
    except PipelineError as error:
        logger.error("run %s could not go on: %s", run.id, error)
        _fail(settings, database, run, error, around)
    except Exception as error:
        logger.exception("run %s ended by a fault in the program", run.id)
        fault = AgentError(
            f"a fault in the program: {type(error).__name__}: {error}",
            where=f"run {run.id}",
            fix="the log of the server or worker has the traceback; report it, and queue the run again",
        )
        _fail(settings, database, run, fault, around)
    return _load(database, run.id)


@contextmanager
def _opened(settings: Settings, database: Database, run: Run) -> Iterator[Workspace]:
    """The project as the run means it: as it is on disk, or as a try has it."""
    if run.try_id == 0:
        with open_project(settings, database, run.project_id) as workspace:
            yield workspace
        return
    with database.reading() as connections:
        one = tries.by_number(connections.project, run.try_id)
    code = code_of(settings.base, one, settings.home)
    if code is not None:
        require_trusted_code(code.folder, settings.base)
    with open_try(settings.base, one.settings, one.name, one.targets, code, hosts=PLANNERS) as (_, workspace):
        yield workspace


def _fail(settings: Settings, database: Database, run: Run, error: PipelineError, around: Around) -> None:
    """Close a run that is not closed yet, since its project could not be opened, say; whoever closes it follows it."""
    if queue.fail(database, run.id, error, from_status="RUNNING", now=_now()):
        around.follow(Ended(_load(database, run.id), settings, database))


def _load(database: Database, run_id: int) -> Run:
    with database.reading() as connections:
        return runs.load_run(connections.control, run_id)


def _now() -> datetime:
    return SystemClock().now()
