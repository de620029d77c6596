"""Attempts: one try of one component in one run, opened at its start, closed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.core.model import InputRecord, Reason
from agent.store.engine import Connections
from agent.store.records import inputs_from_json, inputs_to_json, reasons_from_json, reasons_to_json
from agent.store.tables import attempts, runs, snapshots

_CRASHED = "the process that ran it died or was stopped past its lease"


@dataclass(frozen=True)
class Attempt:
    """A row of attempts. status: running, succeeded, failed, crashed or cancelled. `number` is 1 for the first try."""

    id: int
    run_id: int
    component: str
    number: int
    status: str
    token: int
    owner: str
    reasons: tuple[Reason, ...]
    inputs: Mapping[str, InputRecord]
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
    return int(conn.execute(new).inserted_primary_key[0])


def finish_attempt(
    conn: sa.Connection,
    attempt_id: int,
    *,
    status: str,
    now: datetime,
    inputs: Mapping[str, InputRecord] | None = None,
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
            input_versions=None if inputs is None else inputs_to_json(inputs),
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


def abandon_attempts(connections: Connections, component: str, below_token: int, now: datetime) -> list[int]:
    """Close what earlier holders of the lease on `component` left running; `below_token` is the new holder's token.

    Closed as crashed; as succeeded where its snapshot was committed and only this row was not (two databases). Returns
    the ids closed.
    """
    mine = sa.select(runs.c.id).where(runs.c.project_id == connections.project_id)
    return _close(
        connections,
        sa.and_(attempts.c.component == component, attempts.c.token < below_token, attempts.c.run_id.in_(mine)),
        now,
    )


def abandon_attempts_of_run(connections: Connections, run_id: int, now: datetime) -> list[int]:
    """The same for every attempt that an abandoned run left running."""
    return _close(connections, attempts.c.run_id == run_id, now)


def list_attempts(conn: sa.Connection, run_id: int) -> list[Attempt]:
    """Attempts of a run in the order they were started."""
    query = sa.select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.id)
    return [_attempt(row) for row in conn.execute(query).mappings()]


def attempt_history(
    conn: sa.Connection, component: str, limit: int, *, project_id: int = 0
) -> list[tuple[float, int | None]]:
    """(seconds, rows) of the newest successes of a component, newest first, to expect the next one from."""
    query = (
        sa.select(attempts.c.seconds, attempts.c.rows)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(
            attempts.c.component == component,
            attempts.c.status == "succeeded",
            attempts.c.seconds.is_not(None),
            runs.c.project_id == project_id,
        )
        .order_by(attempts.c.id.desc())
        .limit(limit)
    )
    return [(seconds, rows) for seconds, rows in conn.execute(query)]


def _close(connections: Connections, condition: sa.ColumnElement[bool], now: datetime) -> list[int]:
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
            {"status": "crashed", "error": _CRASHED}
            if done is None
            else {"status": "succeeded", "output_version": done.version, "rows": done.rows}
        )
        here = sa.and_(attempts.c.id == attempt_id, attempts.c.status == "running")
        connections.control.execute(sa.update(attempts).where(here).values(finished_at=now, **values))
    return sorted(left)


def _attempt(row: Mapping[str, Any]) -> Attempt:
    values = dict(row)
    inputs = values.pop("input_versions")
    values["inputs"] = {} if inputs is None else inputs_from_json(inputs)
    values["reasons"] = reasons_from_json(values["reasons"])
    return Attempt(**values)
