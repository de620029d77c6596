"""One cycle of the background runner: a run of the default project, never two at once, counted in the runner's row."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypedDict

from agent import identity
from agent.clock import SystemClock
from agent.core.events import RunCreated
from agent.errors import DatabaseError
from agent.runtime.around import Around, Ended
from agent.service.carry_out import carry_out
from agent.service.projects import DEFAULT_PROJECT
from agent.settings import Settings
from agent.store.control import events, runner, runs
from agent.store.control.runs import Run
from agent.store.database.engine import Database

logger = logging.getLogger("tidemill.runner")
_GOAL = "refresh up to publish"


class CycleResult(TypedDict):
    """What came of a cycle. `error` is the run's error message, None after a success."""

    success: bool
    started_at: datetime
    completed_at: datetime
    error: str | None


def begin(settings: Settings, database: Database, trigger: str, around: Around) -> Run:
    """The run of a new cycle, RUNNING and ours. Raises Conflict while another one is carried out, here or elsewhere."""
    now = SystemClock().now()
    recover(settings, database, around)  # a cycle that died must not be waited for
    with database.writing() as connections:
        control = connections.control
        runner.reserve_cycle(control)
        run = runs.create_run(
            control,
            project_id=DEFAULT_PROJECT,
            goal=_GOAL,
            targets=(),
            force=(),
            trigger=trigger,
            status="RUNNING",
            owner=identity.own(),
            lease_seconds=settings.executor.lease_seconds,
            now=now,
        )
        events.append(control, run.id, RunCreated(_GOAL, trigger=trigger), now)
        runner.begin_cycle(control, run.id)
    return run


def recover(settings: Settings, database: Database, around: Around) -> None:
    """Close the runs of dead processes, and count a cycle that ended without being counted, since it was killed."""
    with database.writing() as connections:
        closed = runs.abandon_runs(connections.control, SystemClock().now())
        runner.count_cycle(connections.control)
    for one in closed:
        if one.try_id == 0:  # nothing follows a try
            around.follow(Ended(one, settings, database))


def perform(
    settings: Settings,
    database: Database,
    run: Run,
    *,
    stop: Callable[[], str | None],
    around: Around,
) -> CycleResult:
    """Carry the cycle out and count it. What goes wrong is reported as its error, not raised."""
    started_at = run.started_at or run.created_at
    try:
        manual = run.trigger != "schedule"
        ended = carry_out(settings, database, run, manual=manual, stop=stop, around=around)
        success, error, over = ended.status == "COMPLETED", ended.error, ended.finished_at
        with database.writing() as connections:
            runner.count_cycle(connections.control)
    except DatabaseError as lost:
        logger.error("the end of cycle %s could not be recorded: %s", run.id, lost)
        success, error, over = False, str(lost), None
    return CycleResult(success=success, started_at=started_at, completed_at=over or SystemClock().now(), error=error)
