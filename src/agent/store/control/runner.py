"""The one row of the background runner: what is wanted of it, how it stands, its counts, and the lease on it.

Any process may write what is wanted (a person asks the server they reach); only the holder of the lease writes how it
stands. `cycle_run_id` names the newest cycle: while that run is RUNNING no process begins another one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent import identity
from agent.core.lifecycle import RUNS, final_states
from agent.errors import Busy, Conflict
from agent.store import leases
from agent.store.database.engine import database_now
from agent.store.leases import Lease
from agent.store.outputs import projections
from agent.store.tables import runner as table
from agent.store.tables import runs
from pipelines.values import dataclass

_DIED = "the process that ran it died; start it again"
_OVER = final_states(RUNS)


@dataclass(frozen=True)
class Runner:
    """The row. state: stopped, running, paused or error (its process died); wanted_state: what was asked for last."""

    wanted_state: str
    state: str
    interval_minutes: int
    last_run: datetime | None
    next_run: datetime | None
    cycle_run_id: int | None
    run_count: int
    error_count: int
    last_error: str | None
    total_forecasts: int
    total_trades: int
    lease_owner: str | None
    lease_token: int
    lease_taken_at: datetime | None
    lease_expires_at: datetime | None


def load(conn: sa.Connection) -> Runner:
    """The row as it is, except that a state whose holder died is shown as the error it is."""
    row = dict(conn.execute(sa.select(table)).mappings().one())
    del row["id"]
    found = Runner(**row)
    if found.state in ("running", "paused") and not _is_held(found, database_now(conn)):
        return Runner(**{**row, "state": "error", "next_run": None, "last_error": _DIED})
    return found


def take(conn: sa.Connection, owner: str, seconds: float, *, interval_minutes: int | None) -> Lease:
    """Take the lease for `seconds` to run cycles; Raises Conflict where another process holds it.

    The runner is then wanted running; `interval_minutes` None leaves the interval as it is.
    """
    try:
        lease = leases.take(conn, leases.RUNNER, owner, seconds)
    except Busy as busy:
        found = load(conn)
        raise Conflict(
            f"the runner is {found.state} already, in {identity.describe(found.lease_owner or '-')}",
            where="runner",
            fix="one runner per database: pause, stop or run it once through any server",
        ) from busy
    values: dict[str, Any] = {"wanted_state": "running"}
    if interval_minutes is not None:
        values["interval_minutes"] = interval_minutes
    conn.execute(sa.update(table).values(**values))
    return lease


def show(conn: sa.Connection, token: int, state: str, next_run: datetime | None) -> bool:
    """The holder writes how it stands. False where the lease is no longer held with `token`."""
    values: dict[str, Any] = {"state": state, "next_run": next_run}
    if state == "stopped":
        values |= {"wanted_state": "stopped", **leases.RUNNER_ROWS.released}
    return conn.execute(leases.RUNNER_ROWS.of_holder, {**leases.holding(1, token), **values}).rowcount == 1


def want(conn: sa.Connection, state: str) -> None:
    """Ask whoever holds the lease for a state; one that nobody holds is stopped at once."""
    conn.execute(sa.select(table.c.id).with_for_update())
    values: dict[str, Any] = {"wanted_state": state}
    if state == "stopped" and not _is_held(load(conn), database_now(conn)):
        values |= {"state": "stopped", "next_run": None, **leases.RUNNER_ROWS.released}
    conn.execute(sa.update(table).values(**values))


def set_interval(conn: sa.Connection, minutes: int) -> None:
    """Set the interval; the holder follows."""
    conn.execute(sa.update(table).values(interval_minutes=minutes))


def reserve_cycle(conn: sa.Connection) -> None:
    """Hold the row until the transaction ends. Raises Conflict while a cycle is being carried out, here or elsewhere.

    Follow with `runs.create_run` and `begin_cycle` in the same transaction.
    """
    conn.execute(sa.select(table.c.id).with_for_update())
    found = load(conn)
    busy = sa.select(runs.c.id).where(runs.c.id == found.cycle_run_id, runs.c.status == "RUNNING")
    if conn.scalar(busy) is not None:
        raise Conflict(
            "a cycle is being carried out",
            where=f"run {found.cycle_run_id}",
            fix="wait for its end (?wait=true), or cancel that run",
        )


def begin_cycle(conn: sa.Connection, run_id: int) -> None:
    """Note the run of a cycle that begins."""
    conn.execute(sa.update(table).values(cycle_run_id=run_id))


def count_cycle(conn: sa.Connection) -> bool:
    """Count the newest cycle once its run is over, however it ended; False where there is nothing to count.

    Whoever sees the end counts it: the process that carried it out, or, where that one was killed, any other. The
    predictions it published are counted, and the newest error is kept. Call it where control and project are one.
    """
    conn.execute(sa.select(table.c.id).with_for_update())
    row = conn.execute(sa.select(table)).mappings().one()
    if row["cycle_run_id"] is None:
        return False
    run = conn.execute(sa.select(runs).where(runs.c.id == row["cycle_run_id"])).mappings().one_or_none()
    if run is not None and run["status"] not in _OVER:
        return False
    values: dict[str, Any] = {"cycle_run_id": None}
    started_at = None if run is None else run["started_at"] or run["created_at"]
    is_counted = run is None or started_at == row["last_run"]  # by a version that left the number of the run here
    if run is not None and not is_counted:
        values |= {
            "last_run": started_at,
            "run_count": table.c.run_count + 1,
            "total_forecasts": table.c.total_forecasts + projections.count_published(conn, run["id"]),
        }
        if run["status"] == "FAILED":
            values |= {"error_count": table.c.error_count + 1, "last_error": run["error"]}
    conn.execute(sa.update(table).values(**values))
    return not is_counted


def _is_held(row: Runner, now: datetime) -> bool:
    return leases.is_at_work(row.lease_owner, row.lease_expires_at, now)
