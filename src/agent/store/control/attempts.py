"""Attempts: one try of one component in one run, opened at its start, closed once by a conditional statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.core.lifecycle import ATTEMPTS, require_move
from agent.core.model import Reason
from agent.core.plan_json import reasons_from_json, reasons_to_json
from agent.store.control.runs import FINAL, of_try
from agent.store.database.engine import Connections, try_of
from agent.store.state import statements, statements_of
from agent.store.tables import attempts, runs, snapshots
from pipelines.values import dataclass

_CLOSED = ("status", "finished_at", "error", "output_version", "rows", "is_cut_off")  # what closing such a row sets
_OVERTAKEN = "the process that ran it died, or slept past its lease"
# Made once, since building a statement costs more than executing it.
_START = sa.insert(attempts).returning(attempts.c.id)
_FINISH = sa.update(attempts).where(attempts.c.id == sa.bindparam("attempt"), attempts.c.status == "running")


@dataclass(frozen=True)
class Attempt:
    """A row of attempts. status: running, succeeded, failed, crashed or cancelled. `number` is 1 for the first try.

    reused_from: the attempt whose output it took. input_versions: input -> version of what it read. `rows` of the
    output; `seconds` from start to commit.
    """

    id: int
    run_id: int
    component: str
    number: int
    status: str
    token: int
    owner: str
    reasons: tuple[Reason, ...]
    reused_from: int | None
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
    reused_from: int | None = None,
) -> int:
    """Open an attempt and return its id, which names the files it will write."""
    new = {
        "run_id": run_id,
        "component": component,
        "number": number,
        "status": "running",
        "token": token,
        "owner": owner,
        "reasons": reasons_to_json(reasons),
        "reused_from": reused_from,
        "started_at": now,
    }
    return int(conn.execute(_START, new).scalar_one())


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
    require_move(ATTEMPTS, "running", status)
    values = {
        "status": status,
        "finished_at": now,
        "input_versions": None if input_versions is None else dict(input_versions),
        "output_version": output_version,
        "is_cut_off": is_cut_off,
        "rows": rows,
        "recomputed_partitions": recomputed_partitions,
        "carried_partitions": carried_partitions,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory_bytes,
        "error": error,
        "traceback": traceback,
    }
    return conn.execute(_FINISH, {"attempt": attempt_id, **values}).rowcount == 1


def find_abandoned(connections: Connections, component: str, below_token: int, now: datetime) -> list[Attempt]:
    """What earlier holders of the lease on `component` left running, as `close_abandoned` is to leave it at `now`.

    `below_token` is the new holder's token. Crashed; succeeded where the snapshot was committed and only this row was
    not (two databases).
    """
    mine = sa.select(runs.c.id).where(_runs_of(connections))
    return _find_left(
        connections,
        sa.and_(attempts.c.component == component, attempts.c.token < below_token, attempts.c.run_id.in_(mine)),
        now,
        try_of(connections.project),
    )


def close_abandoned(conn: sa.Connection, abandoned: Sequence[Attempt]) -> None:
    """Write what `find_abandoned` found. Apart from it, since the project's rows are locked before these."""
    for one in abandoned:
        values = {name: getattr(one, name) for name in _CLOSED}
        here = sa.and_(attempts.c.id == one.id, attempts.c.status == "running")
        conn.execute(sa.update(attempts).where(here).values(**values))


def abandon_attempts_of_ended_runs(connections: Connections, now: datetime) -> list[Attempt]:
    """Close what the project's ended runs left running and no lease protects any more: for a try those about it, for
    production those about tries as well, whether they are still there or were dropped.

    That is an attempt whose success was committed in the project's database and not here. One whose lease is still
    held may wake up: it is closed by whoever takes the lease over.
    """
    own = try_of(connections.project)
    whose = of_try(connections.project_id, own) if own else runs.c.project_id == connections.project_id
    query = (
        sa.select(attempts.c.id, attempts.c.component, attempts.c.token, runs.c.try_id)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(attempts.c.status == "running", runs.c.status.in_(FINAL), whose)
    )
    left = connections.control.execute(query).all()
    found = []
    for try_id in sorted({row.try_id for row in left}):
        of = statements_of(try_id)
        states = of.table
        held_query = sa.select(states.c.component, states.c.lease_token).where(
            states.c.lease_owner.is_not(None), of.kind.within
        )
        held = {(row.component, row.lease_token) for row in connections.project.execute(held_query)}
        loose = [row.id for row in left if row.try_id == try_id and (row.component, row.token) not in held]
        found += _find_left(connections, attempts.c.id.in_(loose), now, try_id) if loose else []
    close_abandoned(connections.control, found)
    return found


def attempt_status(conn: sa.Connection, attempt_id: int) -> str | None:
    """Status of an attempt; None where there is no such row."""
    status: str | None = conn.scalar(sa.select(attempts.c.status).where(attempts.c.id == attempt_id))
    return status


def is_recorded(conn: sa.Connection, attempt_id: int, component: str, token: int) -> bool:
    """Whether the project's database, which `conn` is to, has the success of an attempt.

    It shows in the snapshot or, where the output stayed as it was, in the lease: given back by this holder, without a
    failure.
    """
    of = statements(conn)
    states = of.table
    is_settled = sa.select(states.c.component).where(
        of.kind.within,
        states.c.component == component,
        states.c.lease_token == token,
        states.c.lease_owner.is_(None),
        states.c.status == "idle",
    )
    has_snapshot = sa.select(snapshots.c.id).where(snapshots.c.attempt_id == attempt_id)
    return conn.execute(is_settled).first() is not None or conn.scalar(has_snapshot) is not None


def list_attempts(conn: sa.Connection, run_id: int, limit: int | None = None) -> list[Attempt]:
    """Attempts of a run in the order they were started, up to `limit`."""
    query = sa.select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.id).limit(limit)
    return [_attempt(row) for row in conn.execute(query).mappings()]


def of_component(conn: sa.Connection, project_id: int, component: str, limit: int) -> list[Attempt]:
    """The newest attempts of a component in a project, newest first."""
    query = sa.select(attempts).join(runs, runs.c.id == attempts.c.run_id)
    here = query.where(of_try(project_id, 0), attempts.c.component == component)
    return [_attempt(row) for row in conn.execute(here.order_by(attempts.c.id.desc()).limit(limit)).mappings()]


def last_failed(conn: sa.Connection, project_id: int, components: Collection[str]) -> dict[str, Attempt]:
    """The newest attempt of each of `components` in a project that failed or crashed."""
    failed = (
        sa.select(sa.func.max(attempts.c.id))
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(of_try(project_id, 0), attempts.c.component.in_(components))
        .where(attempts.c.status.in_(("failed", "crashed")))
        .group_by(attempts.c.component)
    )
    found = conn.execute(sa.select(attempts).where(attempts.c.id.in_(failed))).mappings()
    return {row["component"]: _attempt(row) for row in found}


def failing_since(conn: sa.Connection, project_id: int, component: str) -> datetime | None:
    """When the first of a component's failures began that no success followed; None where there is none."""
    here = sa.select(attempts).join(runs, runs.c.id == attempts.c.run_id)
    mine = here.where(of_try(project_id, 0), attempts.c.component == component).subquery()
    success = sa.select(sa.func.max(mine.c.id)).where(mine.c.status == "succeeded").scalar_subquery()
    first = sa.select(mine.c.started_at).where(
        mine.c.status.in_(("failed", "crashed")), mine.c.id > sa.func.coalesce(success, 0)
    )
    found: datetime | None = conn.scalar(first.order_by(mine.c.id).limit(1))
    return found


def causes_between(
    conn: sa.Connection, project_id: int, after_run: int, to_run: int, limit: int = 500
) -> list[tuple[str, tuple[Reason, ...]]]:
    """(component, why it ran) of a project's attempts that brought something new in the runs after `after_run` up to
    `to_run`, in the order they were started, the newest `limit`."""
    query = (
        sa.select(attempts.c.component, attempts.c.reasons)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(of_try(project_id, 0), runs.c.id > after_run, runs.c.id <= to_run)
        .where(attempts.c.status == "succeeded", attempts.c.is_cut_off.is_not(True))
        .order_by(attempts.c.id.desc())
        .limit(limit)
    )
    return [(row.component, reasons_from_json(row.reasons)) for row in reversed(conn.execute(query).all())]


def expectations(conn: sa.Connection, project_id: int) -> dict[str, tuple[float | None, int | None]]:
    """Component -> (seconds, rows) of the newest success in a project that computed it: what the next attempt is
    expected to take."""
    newest = (
        sa.select(sa.func.max(attempts.c.id))
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(attempts.c.status == "succeeded", attempts.c.reused_from.is_(None), of_try(project_id, 0))
        .group_by(attempts.c.component)
    )
    query = sa.select(attempts.c.component, attempts.c.seconds, attempts.c.rows).where(attempts.c.id.in_(newest))
    return {row.component: (row.seconds, row.rows) for row in conn.execute(query)}


def _runs_of(connections: Connections) -> sa.ColumnElement[bool]:
    """Condition: a run of the project, about production or the try that `connections` are meant for."""
    return of_try(connections.project_id, try_of(connections.project))


def _find_left(
    connections: Connections, condition: sa.ColumnElement[bool], now: datetime, try_id: int
) -> list[Attempt]:
    query = sa.select(attempts).where(condition, attempts.c.status == "running").order_by(attempts.c.id)
    left = [_attempt(row) for row in connections.control.execute(query).mappings()]
    recorded = _recorded(connections.project, left, try_id) if left else {}
    crashed = {"status": "crashed", "error": _OVERTAKEN}
    ends = {one.id: {"status": "succeeded", **recorded[one.id]} if one.id in recorded else crashed for one in left}
    return [replace(one, finished_at=now, **ends[one.id]) for one in left]


def _recorded(conn: sa.Connection, left: Sequence[Attempt], try_id: int) -> dict[int, dict[str, Any]]:
    """Attempt -> what the project's database knows of its success, of those of one try; without those that had none.

    As in `is_recorded`, but a lease that was given up looks like one given back after a success: the time tells.
    """
    with_snapshot = sa.select(snapshots.c.attempt_id, snapshots.c.version, snapshots.c.rows).where(
        snapshots.c.attempt_id.in_([one.id for one in left])
    )
    found = {row.attempt_id: {"output_version": row.version, "rows": row.rows} for row in conn.execute(with_snapshot)}
    of = statements_of(try_id)
    states = of.table
    given_back = sa.select(
        states.c.component, states.c.lease_token, states.c.last_run_at, states.c.output_version, states.c.output_rows
    ).where(states.c.lease_owner.is_(None), states.c.last_run_at.is_not(None), of.kind.within)
    last = {(row.component, row.lease_token): row for row in conn.execute(given_back)}
    for one in left:
        state = last.get((one.component, one.token))
        if one.id not in found and state is not None and state.last_run_at >= one.started_at:
            found[one.id] = {"output_version": state.output_version, "rows": state.output_rows, "is_cut_off": True}
    return found


def _attempt(row: sa.RowMapping) -> Attempt:
    values: dict[str, Any] = {**row}
    return Attempt(**{**values, "reasons": reasons_from_json(values["reasons"])})
