"""The run queue as people use it: put a run in, answer the question whether it may go ahead, end it in time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime

from agent.core.events import (
    AgentThinking,
    ApprovalExpired,
    ApprovalGiven,
    ApprovalRejected,
    ApprovalRequested,
    PlanGenerated,
    RunCancelled,
    RunCreated,
    RunFailed,
)
from agent.core.graph import order
from agent.core.plan_json import plan_to_json
from agent.errors import Conflict
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace
from agent.service.goals import Intent, read_goal, read_targets
from agent.settings import Settings
from agent.store.control import approvals, events, runs
from agent.store.control.runs import Run
from agent.store.database import notify
from agent.store.database.engine import Database
from pipelines.errors import PipelineError

EXPIRED = "nobody approved it in time"


def components_of(workspace: Workspace) -> tuple[str, ...]:
    """The project's components in the order they are performed."""
    return tuple(order(workspace.specs))


def intent_of(goal: str, targets: Sequence[str] | None, components: Sequence[str]) -> Intent:
    """What a run is to compute: explicit targets go before what the goal says. Raises UsageError."""
    return read_targets(targets, components) if targets else read_goal(goal, components)


def enqueue(
    database: Database,
    *,
    project_id: int,
    goal: str,
    intent: Intent,
    require_approval: bool = False,
    priority: int = 0,
    retry_of: int | None = None,
    idempotency_key: str | None = None,
    trigger: str = "queue",
    try_id: int = 0,
    now: datetime,
) -> tuple[Run, bool]:
    """Put a run into the queue; returns it and whether it is new. `trigger` is "person" where one pressed a button.
    `try_id`: the try that it is about; 0: production.

    A key that was used before gives the earlier run; Conflict where that one was asked for in other words.
    """
    with database.writing() as connections:
        run = runs.create_run(
            connections.control,
            project_id=project_id,
            goal=goal,
            targets=intent.targets,
            force=intent.force,
            trigger=trigger,
            priority=priority,
            retry_of=retry_of,
            try_id=try_id,
            require_approval=require_approval,
            idempotency_key=idempotency_key,
            now=now,
        )
        if idempotency_key is not None and events.load_events(connections.control, run.id, limit=1):
            same = (run.project_id, run.goal, run.targets, run.force, run.require_approval, run.priority)
            if same != (project_id, goal, intent.targets, intent.force, require_approval, priority):
                raise Conflict(
                    f"this Idempotency-Key was used for another request, which made run {run.id}",
                    where="Idempotency-Key",
                    fix="use a new key for a new run",
                )
            return run, False
        created = RunCreated(goal, intent.meaning, intent.targets, intent.force, require_approval)
        events.append(connections.control, run.id, created, now)
        notify.announce(connections.control)
    return run, True


def retry(database: Database, run_id: int, *, now: datetime) -> Run:
    """Queue a run that is over again, as a new one. Raises NotFound, and Conflict where it is not over or a try's."""
    with database.reading() as connections:
        old = runs.load_run(connections.control, run_id)
    if old.try_id != 0:
        raise Conflict(f"run {run_id} is of a try", where="runs", fix="go on with it: `agent try --name NAME`")
    if old.status not in runs.FINAL:
        raise Conflict(
            f"run {run_id} is not over: it is {old.status}", where="runs", fix="wait for its end, or cancel it first"
        )
    run, _ = enqueue(
        database,
        project_id=old.project_id,
        goal=old.goal,
        intent=Intent(old.targets, old.force, f"run {run_id} again"),
        require_approval=old.require_approval,
        priority=old.priority,
        retry_of=old.id,
        now=now,
    )
    return run


def retry_lost(database: Database, lost: Run, *, most: int, now: datetime) -> Run | None:
    """Queue a run again whose process died, as a new one. None where that happened `most` times before, or where the
    run did not come from the queue: then it is the business of the person, schedule or runner that began it."""
    with database.reading() as connections:
        first = events.load_events(connections.control, lost.id, limit=1)
        before = runs.repeated_after_death(connections.control, lost) - 1
    if before >= most or not first or first[0].type != RunCreated.type:
        return None
    return retry(database, lost.id, now=now)


def ask_approval(workspace: Workspace, settings: Settings, run: Run, now: datetime) -> bool:
    """Plan a QUEUED run, store the plan and let the run wait with it. False where another worker was first.

    What the plan rests on may change until it is approved: staleness is decided again when it is carried out.
    """
    request = Request(goal=run.goal, targets=run.targets, force=run.force, trigger=run.trigger)
    thought = think(workspace, Inspector(workspace), request, now=now)
    plan = plan_to_json(thought.plan)
    with workspace.database.writing() as connections:
        if not runs.move_run(connections.control, run.id, "AWAITING_APPROVAL", from_statuses=("QUEUED",), plan=plan):
            return False
        expires_at = approvals.ask(connections.control, run.id, now=now, minutes=settings.api.approval_minutes)
        events.append_all(
            connections.control,
            run.id,
            [
                (AgentThinking(thought.stale), now),
                (PlanGenerated(thought.plan.steps), now),
                (ApprovalRequested(expires_at.isoformat()), now),
            ],
        )
    return True


def approve(database: Database, run_id: int, *, by: str, reason: str | None, now: datetime) -> Run:
    """Let a waiting run go ahead: back into the queue, for any worker to take.

    Raises NotFound, and Conflict where the run waits for no answer, or no longer: past its deadline it is ended here,
    whether or not a worker has looked since.
    """
    expire_overdue(database, now)
    return _answer(database, run_id, "approved", by=by, reason=reason, now=now)


def reject(database: Database, run_id: int, *, by: str, reason: str | None, now: datetime) -> Run:
    """End a waiting run. Raises NotFound, and Conflict where the run waits for no answer, as `approve` does."""
    expire_overdue(database, now)
    return _answer(database, run_id, "rejected", by=by, reason=reason, now=now)


def expire_overdue(database: Database, now: datetime) -> list[int]:
    """End the runs whose approval was not given in time; returns them."""
    with database.reading() as connections:
        overdue = approvals.overdue(connections.control)
    ended = []
    for run_id in overdue:
        with contextlib.suppress(Conflict):  # answered this moment
            _answer(database, run_id, "expired", by="the deadline", reason=EXPIRED, now=now)
            ended.append(run_id)
    return ended


def fail(database: Database, run_id: int, error: PipelineError, *, from_status: str, now: datetime) -> bool:
    """End a run that cannot be planned or opened: settings that do not load, a folder that is gone.

    False where it is not in `from_status` any more.
    """
    with database.writing() as connections:
        text = str(error)
        moved = runs.move_run(connections.control, run_id, "FAILED", from_statuses=(from_status,), error=text)
        if moved:
            events.append(connections.control, run_id, RunFailed(text), now)
    return moved


def _answer(database: Database, run_id: int, status: str, *, by: str, reason: str | None, now: datetime) -> Run:
    with database.writing() as connections:
        control = connections.control
        run = runs.load_run(control, run_id)
        if not approvals.answer(control, run_id, status, now=now, answered_by=by, reason=reason):
            why = f": {run.error}" if run.error else ""
            raise Conflict(
                f"run {run_id} waits for no approval: it is {run.status}{why}",
                where="runs",
                fix="only a run that is AWAITING_APPROVAL can be approved or rejected",
            )
        if status == "approved":
            runs.move_run(control, run_id, "QUEUED", from_statuses=("AWAITING_APPROVAL",))
            events.append(control, run_id, ApprovalGiven(by, reason), now)
            notify.announce(control)
        else:
            error = f"{status} by {by}" + (f": {reason}" if reason else "")
            runs.move_run(control, run_id, "CANCELLED", from_statuses=("AWAITING_APPROVAL",), error=error)
            answer = ApprovalRejected if status == "rejected" else ApprovalExpired
            events.append_all(control, run_id, [(answer(by, reason), now), (RunCancelled(error), now)])
        return runs.load_run(control, run_id)
