"""Runs: the queue, who executes what, and what came of it.

Which move is allowed is decided in agent.core.lifecycle. Every change is one conditional statement, so that two workers
never execute the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent import identity
from agent.core.events import RunFailed
from agent.core.lifecycle import RUNS, final_states, require_move
from agent.errors import Conflict, NotFound
from agent.store import leases
from agent.store.control import events
from agent.store.database.engine import database_now, insert, now_to_write
from agent.store.tables import approvals, attempts, projects, runs
from pipelines.values import dataclass

FINAL = final_states(RUNS)
_PAGE = 500
_DIED = "the process that ran it died"
_ANY_RUNNING = sa.select(
    sa.or_(
        sa.exists().where(runs.c.status == "RUNNING"),
        sa.exists().where(attempts.c.status == "running"),
    )
)


@dataclass(frozen=True)
class Run:
    """A row of runs. `targets` and `force` are component names; `iteration` counts components evaluated so far;
    `retry_of` is the run that this one repeats."""

    id: int
    project_id: int
    goal: str
    targets: tuple[str, ...]
    force: tuple[str, ...]
    trigger: str
    status: str
    priority: int
    retry_of: int | None
    try_id: int
    require_approval: bool
    cancel_requested: bool
    iteration: int
    plan: Any
    git_commit: str | None
    idempotency_key: str | None
    owner: str | None
    lease_token: int
    lease_taken_at: datetime | None
    lease_expires_at: datetime | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def create_run(
    conn: sa.Connection,
    *,
    project_id: int,
    goal: str,
    targets: Sequence[str],
    force: Sequence[str],
    trigger: str,
    status: str = "QUEUED",
    priority: int = 0,
    retry_of: int | None = None,
    try_id: int = 0,
    require_approval: bool = False,
    idempotency_key: str | None = None,
    owner: str | None = None,
    lease_seconds: float = 0.0,
    git_commit: str | None = None,
    iteration: int = 0,
    now: datetime,
) -> Run:
    """A new run, or the earlier one with this idempotency key (told apart by its created_at).

    With `owner` given it begins at once under a lease of `lease_seconds`: pass status RUNNING then. Raises NotFound
    where there is no such project.
    """
    begun: dict[str, Any] = {}
    if owner is None:  # else it has the project open
        if conn.scalar(sa.select(projects.c.id).where(projects.c.id == project_id)) is None:
            raise NotFound(f"there is no project {project_id}", where="projects", fix="GET /projects lists them")
    else:
        at, until = now_to_write(conn), now_to_write(conn, plus_seconds=lease_seconds)
        begun = {"started_at": at, "lease_token": 1, **leases.RUN_ROWS.held_by(owner, at, until)}
    new = insert(conn, runs).values(
        project_id=project_id,
        goal=goal,
        targets=list(targets),
        force=list(force),
        trigger=trigger,
        status=status,
        priority=priority,
        retry_of=retry_of,
        try_id=try_id,
        require_approval=require_approval,
        idempotency_key=idempotency_key,
        git_commit=git_commit,
        iteration=iteration,
        created_at=now,
        **begun,
    )
    new = new.on_conflict_do_nothing(index_elements=["idempotency_key"])
    made = conn.execute(new.returning(runs)).mappings().first()
    if made is None:
        made = conn.execute(sa.select(runs).where(runs.c.idempotency_key == idempotency_key)).mappings().one()
    return _run(made)


def load_run(conn: sa.Connection, run_id: int) -> Run:
    """A run. Raises NotFound."""
    row = conn.execute(sa.select(runs).where(runs.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise _not_found(run_id)
    return _run(row)


@dataclass(frozen=True)
class Wanted:
    """Which runs: those about production, or try `try_id`, in one of `statuses` (none named: in any), of this project,
    created from `since` on and before
    `until`, with an id below `before_id` (the last one of a page)."""

    statuses: Sequence[str] = ()
    project_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    try_id: int = 0

    def condition(self) -> sa.ColumnElement[bool]:
        """The same in SQL."""
        column = runs.c
        parts = [
            column.try_id == self.try_id,
            None if not self.statuses else column.status.in_(self.statuses),
            None if self.project_id is None else column.project_id == self.project_id,
            None if self.since is None else column.created_at >= self.since,
            None if self.until is None else column.created_at < self.until,
            None if self.before_id is None else column.id < self.before_id,
        ]
        return sa.and_(sa.true(), *(part for part in parts if part is not None))


ANY = Wanted()


def list_runs(conn: sa.Connection, wanted: Wanted = ANY, *, limit: int = 50) -> list[Run]:
    """Runs, newest first."""
    return [_run(row) for row in conn.execute(_newest_first(wanted, limit)).mappings()]


def iterate_runs(conn: sa.Connection, wanted: Wanted = ANY, *, limit: int = 50) -> Iterator[Run]:
    """As `list_runs`, one after the other, for a number that need not fit into memory; `conn` is a `consistent` one."""
    query = _newest_first(wanted, limit).execution_options(yield_per=_PAGE)
    yield from (_run(row) for row in conn.execute(query).mappings())


def _newest_first(wanted: Wanted, limit: int) -> sa.Select[Any]:
    return sa.select(runs).where(wanted.condition()).order_by(runs.c.id.desc()).limit(limit)


def newest_plan(conn: sa.Connection, project_id: int) -> Any:
    """The plan of the newest run that has one, as stored; None where none has."""
    planned = sa.select(runs.c.plan).where(
        runs.c.project_id == project_id, runs.c.try_id == 0, runs.c.plan.is_not(None)
    )
    return conn.scalar(planned.order_by(runs.c.id.desc()).limit(1))


def repeated_after_death(conn: sa.Connection, run: Run) -> int:
    """How many of the runs that `run` repeats, itself among them, ended because their process died."""
    count, at = 0, run
    while at.error == _DIED:
        count += 1
        if at.retry_of is None:
            break
        before = conn.execute(sa.select(runs).where(runs.c.id == at.retry_of)).mappings().one_or_none()
        if before is None:  # forgotten
            break
        at = _run(before)
    return count


def of_try(project_id: int, try_id: int) -> sa.ColumnElement[bool]:
    """Condition: a run of a project that is about a try of it; about production for 0."""
    return sa.and_(runs.c.project_id == project_id, runs.c.try_id == try_id)


def of_tries(project_id: int) -> sa.ColumnElement[bool]:
    """Condition: a run of a project that is about some try."""
    return sa.and_(runs.c.project_id == project_id, runs.c.try_id != 0)


def any_running(conn: sa.Connection) -> bool:
    """Whether some run is RUNNING or some attempt running, alive or left behind, of a try as well."""
    return bool(conn.scalar(_ANY_RUNNING))


def move_run(
    conn: sa.Connection,
    run_id: int,
    to_status: str,
    *,
    from_statuses: Sequence[str],
    error: str | None = None,
    plan: Any = None,
) -> bool:
    """Move a run to `to_status`, and set its times by the database's clock: retention forgets runs by them. False where
    it is in none of `from_statuses`.

    Raises Conflict for a move that the table of agent.core.lifecycle does not have.
    """
    for status in from_statuses:
        require_move(RUNS, status, to_status)
    values: dict[str, Any] = {"status": to_status}
    if to_status == "RUNNING":
        values["started_at"] = sa.func.coalesce(runs.c.started_at, now_to_write(conn))
    if to_status in FINAL:
        values |= {"finished_at": now_to_write(conn), **leases.RUN_ROWS.released}
    if error is not None:
        values["error"] = error
    if plan is not None:
        values["plan"] = plan
    here = sa.and_(runs.c.id == run_id, runs.c.status.in_(from_statuses))
    return conn.execute(sa.update(runs).where(here).values(**values)).rowcount == 1


def claim_run(conn: sa.Connection, run_id: int, owner: str, seconds: float) -> bool:
    """Begin executing a QUEUED run under a lease of `seconds`. False where another process was first."""
    if not move_run(conn, run_id, "RUNNING", from_statuses=("QUEUED",)):
        return False
    leases.take(conn, leases.of_run(run_id), owner, seconds)
    return True


def claim_next(conn: sa.Connection, owner: str, seconds: float, *, most_per_project: int = 0) -> Run | None:
    """Begin executing the QUEUED run of the highest priority, the oldest of these, that no other worker is claiming;
    None where there is none.

    One that needs approval is left alone until it has it, and so is one whose project has `most_per_project` runs (0:
    any number) being executed.
    """
    approved = sa.select(approvals.c.id).where(approvals.c.run_id == runs.c.id, approvals.c.status == "approved")
    may_go = sa.or_(~runs.c.require_approval, approved.exists())
    first = sa.select(runs.c.id, runs.c.project_id).where(runs.c.status == "QUEUED", may_go)
    first = first.order_by(runs.c.priority.desc(), runs.c.id).limit(1)
    full: list[int] = []
    while True:
        # SQLite has one writer at a time instead of locked rows.
        query = first.where(runs.c.project_id.not_in(full)) if full else first
        found = conn.execute(query.with_for_update(skip_locked=True, of=runs)).one_or_none()
        if found is None:
            return None
        if most_per_project and _running_in(conn, found.project_id) >= most_per_project:
            full.append(found.project_id)
        elif claim_run(conn, found.id, owner, seconds):
            return load_run(conn, found.id)
        else:
            return None


def _running_in(conn: sa.Connection, project_id: int) -> int:
    """Runs of a project that are being executed. Workers that count the same project come one after the other."""
    conn.execute(sa.select(projects.c.id).where(projects.c.id == project_id).with_for_update())
    running = sa.select(sa.func.count()).where(
        runs.c.project_id == project_id, runs.c.try_id == 0, runs.c.status == "RUNNING"
    )
    return conn.scalar(running) or 0


def request_cancel(conn: sa.Connection, run_id: int) -> Run:
    """Ask whoever executes a run to stop. Raises NotFound, and Conflict where the run is over."""
    here = sa.and_(runs.c.id == run_id, runs.c.status.not_in(FINAL))
    was_open = conn.execute(sa.update(runs).where(here).values(cancel_requested=True)).rowcount == 1
    run = load_run(conn, run_id)
    if not was_open:
        raise Conflict(f"run {run_id} is over: {run.status}", where="runs", fix="there is nothing left to cancel")
    return run


def abandon_runs(conn: sa.Connection, now: datetime, *, only: sa.ColumnElement[bool] | None = None) -> list[Run]:
    """Close RUNNING runs whose process died on this host or let its lease end: FAILED, with an event. Those of all
    projects and tries, or `only` where that holds (see `of_try`).

    Their attempts are closed by `close_abandoned` and `abandon_attempts_of_ended_runs`.
    """
    at = database_now(conn)
    running = sa.select(runs).where(runs.c.status == "RUNNING", sa.true() if only is None else only)
    closed = []
    for row in conn.execute(running.order_by(runs.c.id).with_for_update(skip_locked=True)).mappings().all():
        if leases.is_at_work(row["owner"], row["lease_expires_at"], at):
            continue
        if move_run(conn, row["id"], "FAILED", from_statuses=("RUNNING",), error=_DIED):
            owner = "" if row["owner"] is None else identity.describe(row["owner"])
            events.append(conn, row["id"], RunFailed(_DIED, owner=owner), now)
            closed.append(load_run(conn, row["id"]))
    return closed


def _run(row: sa.RowMapping) -> Run:
    values: dict[str, Any] = {**row}
    return Run(**{**values, "targets": tuple(values["targets"]), "force": tuple(values["force"])})


def _not_found(run_id: int) -> NotFound:
    return NotFound(f"there is no run {run_id}", where="runs", fix="`agent runs` lists them")
