"""Runs and their attempts: the queue, who executes what, and what came of it.

Which move is allowed is decided in agent.core.lifecycle. Every change is one conditional statement, so that two workers
never execute the same run and an attempt is closed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from agent.core.model import Reason
from agent.errors import Conflict, NotFound
from agent.store import events, leases
from agent.store.engine import Connections, database_now, insert
from agent.store.records import reasons_from_json, reasons_to_json
from agent.store.tables import approvals, attempts, projects, runs, snapshots
from agent.store.tables import orchestrator_state as states

FINAL = ("COMPLETED", "FAILED", "CANCELLED")
_DIED = "the process that ran it died"
_OVERTAKEN = "the process that ran it died, or slept past its lease"


@dataclass(frozen=True)
class Run:
    """A row of runs. `targets` and `force` are component names; `iteration` counts components evaluated so far."""

    id: int
    project_id: int
    goal: str
    targets: tuple[str, ...]
    force: tuple[str, ...]
    trigger: str
    status: str
    require_approval: bool
    cancel_requested: bool
    iteration: int
    plan: Any
    git_commit: str | None
    idempotency_key: str | None
    owner: str | None
    lease_expires_at: datetime | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Attempt:
    """A row of attempts. status: running, succeeded, failed, crashed or cancelled. `number` is 1 for the first try.

    input_versions: input -> version of what it read. `rows` of the output; `seconds` from start to commit.
    """

    id: int
    run_id: int
    component: str
    number: int
    status: str
    token: int
    owner: str
    reasons: tuple[Reason, ...]
    input_versions: Mapping[str, str] | None
    output_version: str | None
    is_cut_off: bool | None
    rows: int | None
    recomputed_partitions: int | None
    carried_partitions: int | None
    seconds: float | None
    peak_memory_bytes: int | None
    error: str | None
    traceback: str | None
    started_at: datetime
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
    require_approval: bool = False,
    idempotency_key: str | None = None,
    owner: str | None = None,
    lease_seconds: float = 0.0,
    git_commit: str | None = None,
    now: datetime,
) -> Run:
    """A new run, or the earlier one with this idempotency key (told apart by its created_at).

    With `owner` given it begins at once under a lease of `lease_seconds`: pass status RUNNING then. Raises NotFound
    where there is no such project.
    """
    if conn.scalar(sa.select(projects.c.id).where(projects.c.id == project_id)) is None:
        raise NotFound(f"there is no project {project_id}", where="projects", mend="GET /projects lists them")
    new = insert(conn, runs).values(
        project_id=project_id,
        goal=goal,
        targets=list(targets),
        force=list(force),
        trigger=trigger,
        status=status,
        require_approval=require_approval,
        idempotency_key=idempotency_key,
        owner=owner,
        lease_expires_at=None if owner is None else database_now(conn) + timedelta(seconds=lease_seconds),
        git_commit=git_commit,
        created_at=now,
        started_at=None if owner is None else now,
    )
    made = (
        conn.execute(new.on_conflict_do_nothing(index_elements=["idempotency_key"]).returning(runs)).mappings().first()
    )
    if made is None:
        made = conn.execute(sa.select(runs).where(runs.c.idempotency_key == idempotency_key)).mappings().one()
    return _run(made)


def load_run(conn: sa.Connection, run_id: int) -> Run:
    """A run. Raises NotFound."""
    row = conn.execute(sa.select(runs).where(runs.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise _not_found(run_id)
    return _run(row)


def list_runs(
    conn: sa.Connection,
    *,
    status: str | None = None,
    project_id: int | None = None,
    limit: int = 50,
    before_id: int | None = None,
) -> list[Run]:
    """Runs, newest first; `before_id` is the last one of the page before."""
    query = sa.select(runs).order_by(runs.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(runs.c.status == status)
    if project_id is not None:
        query = query.where(runs.c.project_id == project_id)
    if before_id is not None:
        query = query.where(runs.c.id < before_id)
    return [_run(row) for row in conn.execute(query).mappings()]


def any_running(conn: sa.Connection) -> bool:
    """Whether some run is RUNNING or some attempt running, alive or left behind."""
    return (
        conn.scalar(sa.select(runs.c.id).where(runs.c.status == "RUNNING").limit(1)) is not None
        or conn.scalar(sa.select(attempts.c.id).where(attempts.c.status == "running").limit(1)) is not None
    )


def move_run(
    conn: sa.Connection,
    run_id: int,
    to_status: str,
    *,
    from_statuses: Sequence[str],
    now: datetime,
    error: str | None = None,
    plan: Any = None,
) -> bool:
    """Move a run to `to_status`, and set its times. False where it is in none of `from_statuses`."""
    values: dict[str, Any] = {"status": to_status}
    if to_status == "RUNNING":
        values["started_at"] = sa.func.coalesce(runs.c.started_at, sa.literal(now, runs.c.started_at.type))
    if to_status in FINAL:
        values |= {"finished_at": now, "owner": None, "lease_expires_at": None}
    if error is not None:
        values["error"] = error
    if plan is not None:
        values["plan"] = plan
    here = sa.and_(runs.c.id == run_id, runs.c.status.in_(from_statuses))
    return conn.execute(sa.update(runs).where(here).values(**values)).rowcount == 1


def claim_run(conn: sa.Connection, run_id: int, owner: str, seconds: float, now: datetime) -> bool:
    """Begin executing a QUEUED run under a lease of `seconds`. False where another process was first."""
    update = (
        sa.update(runs)
        .where(runs.c.id == run_id, runs.c.status == "QUEUED")
        .values(
            status="RUNNING",
            owner=owner,
            lease_expires_at=database_now(conn) + timedelta(seconds=seconds),
            started_at=now,
        )
    )
    return conn.execute(update).rowcount == 1


def claim_next(conn: sa.Connection, owner: str, seconds: float, now: datetime) -> Run | None:
    """Begin executing the oldest QUEUED run that no other worker is claiming; None where there is none.

    One that needs approval is left alone until it has it.
    """
    approved = sa.select(approvals.c.id).where(approvals.c.run_id == runs.c.id, approvals.c.status == "approved")
    may_go = sa.or_(~runs.c.require_approval, approved.exists())
    oldest = sa.select(runs.c.id).where(runs.c.status == "QUEUED", may_go).order_by(runs.c.id).limit(1)
    run_id = conn.scalar(oldest.with_for_update(skip_locked=True, of=runs))  # SQLite has one writer at a time instead
    if run_id is None or not claim_run(conn, run_id, owner, seconds, now):
        return None
    return load_run(conn, run_id)


def extend_run(conn: sa.Connection, run_id: int, seconds: float) -> bool:
    """Let the lease on a run end `seconds` from now. False where it is not RUNNING any more."""
    expires_at = database_now(conn) + timedelta(seconds=seconds)
    here = sa.and_(runs.c.id == run_id, runs.c.status == "RUNNING")
    return conn.execute(sa.update(runs).where(here).values(lease_expires_at=expires_at)).rowcount == 1


def request_cancel(conn: sa.Connection, run_id: int) -> Run:
    """Ask whoever executes a run to stop. Raises NotFound, and Conflict where the run is over."""
    here = sa.and_(runs.c.id == run_id, runs.c.status.not_in(FINAL))
    was_open = conn.execute(sa.update(runs).where(here).values(cancel_requested=True)).rowcount == 1
    run = load_run(conn, run_id)
    if not was_open:
        raise Conflict(f"run {run_id} is over: {run.status}", where="runs", mend="there is nothing left to cancel")
    return run


def abandon_runs(conn: sa.Connection, now: datetime) -> list[Run]:
    """Close RUNNING runs whose process died on this host or let its lease end: FAILED, with an event.

    Their attempts are closed by `abandon_attempts` and `abandon_attempts_of_ended_runs`.
    """
    at = database_now(conn)
    running = sa.select(runs).where(runs.c.status == "RUNNING").order_by(runs.c.id)
    closed = []
    for row in conn.execute(running.with_for_update(skip_locked=True)).mappings().all():
        is_over = row["lease_expires_at"] is None or row["lease_expires_at"] <= at
        is_dead = row["owner"] is not None and leases.is_alive(row["owner"]) is False
        if not is_over and not is_dead:
            continue
        if move_run(conn, row["id"], "FAILED", from_statuses=("RUNNING",), now=now, error=_DIED):
            owner = "" if row["owner"] is None else leases.describe(row["owner"])
            events.append(conn, row["id"], "RUN_FAILED", {"error": _DIED, "owner": owner}, now)
            closed.append(load_run(conn, row["id"]))
    return closed


def start_attempt(
    conn: sa.Connection,
    *,
    run_id: int,
    component: str,
    number: int,
    token: int,
    owner: str,
    reasons: Sequence[Reason],
    now: datetime,
) -> int:
    """Open an attempt and return its id, which names the files it will write."""
    new = sa.insert(attempts).values(
        run_id=run_id,
        component=component,
        number=number,
        status="running",
        token=token,
        owner=owner,
        reasons=reasons_to_json(reasons),
        started_at=now,
    )
    return int(conn.execute(new.returning(attempts.c.id)).scalar_one())


def finish_attempt(
    conn: sa.Connection,
    attempt_id: int,
    *,
    status: str,
    now: datetime,
    input_versions: Mapping[str, str] | None = None,
    output_version: str | None = None,
    is_cut_off: bool | None = None,
    rows: int | None = None,
    recomputed_partitions: int | None = None,
    carried_partitions: int | None = None,
    seconds: float | None = None,
    peak_memory_bytes: int | None = None,
    error: str | None = None,
    traceback: str | None = None,
) -> bool:
    """Close a running attempt. False where it was closed before, by a successor that took it for dead."""
    update = (
        sa.update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.status == "running")
        .values(
            status=status,
            finished_at=now,
            input_versions=None if input_versions is None else dict(input_versions),
            output_version=output_version,
            is_cut_off=is_cut_off,
            rows=rows,
            recomputed_partitions=recomputed_partitions,
            carried_partitions=carried_partitions,
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes,
            error=error,
            traceback=traceback,
        )
    )
    return conn.execute(update).rowcount == 1


def abandon_attempts(connections: Connections, component: str, below_token: int, now: datetime) -> list[Attempt]:
    """Close what earlier holders of the lease on `component` left running; `below_token` is the new holder's token.

    Closed as crashed; as succeeded where its snapshot was committed and only this row was not (two databases). Returns
    them as they are now.
    """
    mine = sa.select(runs.c.id).where(runs.c.project_id == connections.project_id)
    return _close(
        connections,
        sa.and_(attempts.c.component == component, attempts.c.token < below_token, attempts.c.run_id.in_(mine)),
        now,
    )


def abandon_attempts_of_ended_runs(connections: Connections, now: datetime) -> list[Attempt]:
    """Close what the project's ended runs left running and no lease protects any more.

    That is an attempt whose success was committed in the project's database and not here. One whose lease is still
    held may wake up: it is closed by whoever takes the lease over.
    """
    query = (
        sa.select(attempts.c.id, attempts.c.component, attempts.c.token)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(attempts.c.status == "running", runs.c.status.in_(FINAL), runs.c.project_id == connections.project_id)
    )
    left = connections.control.execute(query).all()
    held_query = sa.select(states.c.component, states.c.lease_token).where(states.c.lease_owner.is_not(None))
    held = {(row.component, row.lease_token) for row in connections.project.execute(held_query)} if left else set()
    loose = [row.id for row in left if (row.component, row.token) not in held]
    return _close(connections, attempts.c.id.in_(loose), now) if loose else []


def attempt_status(conn: sa.Connection, attempt_id: int) -> str | None:
    """Status of an attempt; None where there is no such row."""
    status: str | None = conn.scalar(sa.select(attempts.c.status).where(attempts.c.id == attempt_id))
    return status


def close_recorded_attempt(
    connections: Connections, attempt_id: int, component: str, token: int, now: datetime
) -> bool:
    """Close an attempt as succeeded whose success the project's database has and this one has not (two databases).

    False where that one has it not either. It shows in the snapshot or, where the output stayed as it was, in the
    lease: given back by this holder, without a failure.
    """
    is_settled = sa.select(states.c.component).where(
        states.c.component == component,
        states.c.lease_token == token,
        states.c.lease_owner.is_(None),
        states.c.status == "idle",
    )
    if connections.project.execute(is_settled).first() is None and (
        connections.project.scalar(sa.select(snapshots.c.id).where(snapshots.c.attempt_id == attempt_id)) is None
    ):
        return False
    here = sa.and_(attempts.c.id == attempt_id, attempts.c.status == "running")
    connections.control.execute(sa.update(attempts).where(here).values(status="succeeded", finished_at=now))
    return True


def list_attempts(conn: sa.Connection, run_id: int) -> list[Attempt]:
    """Attempts of a run in the order they were started."""
    query = sa.select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.id)
    return [_attempt(row) for row in conn.execute(query).mappings()]


def expectations(conn: sa.Connection, project_id: int) -> dict[str, tuple[float | None, int | None]]:
    """Component -> (seconds, rows) of its newest success in a project: what the next attempt is expected to take."""
    newest = (
        sa.select(sa.func.max(attempts.c.id))
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(attempts.c.status == "succeeded", runs.c.project_id == project_id)
        .group_by(attempts.c.component)
    )
    query = sa.select(attempts.c.component, attempts.c.seconds, attempts.c.rows).where(attempts.c.id.in_(newest))
    return {row.component: (row.seconds, row.rows) for row in conn.execute(query)}


def _close(connections: Connections, condition: sa.ColumnElement[bool], now: datetime) -> list[Attempt]:
    left = list(connections.control.scalars(sa.select(attempts.c.id).where(condition, attempts.c.status == "running")))
    if not left:
        return []
    query = sa.select(snapshots.c.attempt_id, snapshots.c.version, snapshots.c.rows)
    committed = {
        row.attempt_id: row for row in connections.project.execute(query.where(snapshots.c.attempt_id.in_(left)))
    }
    for attempt_id in left:
        done = committed.get(attempt_id)
        values: dict[str, Any] = (
            {"status": "crashed", "error": _OVERTAKEN}
            if done is None
            else {"status": "succeeded", "output_version": done.version, "rows": done.rows}
        )
        here = sa.and_(attempts.c.id == attempt_id, attempts.c.status == "running")
        connections.control.execute(sa.update(attempts).where(here).values(finished_at=now, **values))
    closed = connections.control.execute(sa.select(attempts).where(attempts.c.id.in_(left)).order_by(attempts.c.id))
    return [_attempt(row) for row in closed.mappings()]


def _attempt(row: sa.RowMapping) -> Attempt:
    values: dict[str, Any] = {**row}
    return Attempt(**{**values, "reasons": reasons_from_json(values["reasons"])})


def _run(row: sa.RowMapping) -> Run:
    values: dict[str, Any] = {**row}
    return Run(**{**values, "targets": tuple(values["targets"]), "force": tuple(values["force"])})


def _not_found(run_id: int) -> NotFound:
    return NotFound(f"there is no run {run_id}", where="runs", mend="`agent runs` lists them")
