"""Leases by name: the right to do something until a time, with a token that only grows.

A lease lies in a row that has an owner, a token, when it was taken and when it ends. Its name says which row:
`component:NAME` in orchestrator_state (where people read it; a try's in try_state), `result:COMPONENT:FINGERPRINT` in
result_leases, `run:ID` in runs, `runner:1` in runner, `collector:NAME`
in collectors, `trader:ID` in agents. Another kind is one more line in `_KINDS`. There is one rule for all: whoever
takes a lease gets a larger token, and a statement of a holder names its token (fencing), so that a process that slept
while another took over changes nothing.

Time is the database's. A holder on this host that is dead is taken over at once, one elsewhere when its lease ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache, cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from agent import identity
from agent.errors import Busy, NotFound
from agent.store.collect_tables import collectors
from agent.store.database.engine import Connections, ask_with_time, database_now, insert, try_of
from agent.store.tables import orchestrator_state, result_leases, runner, runs, try_state
from pipelines.values import dataclass

RUNNER = "runner:1"


@dataclass(frozen=True)
class Lease:
    """A lease that is held. `took_over_from` is the holder that died or overslept, if there was one."""

    name: str
    token: int
    took_over_from: str | None = None


@dataclass(frozen=True)
class Free:
    """A lease that nobody holds at `now`, its row locked until the transaction ends. `lease` is what who takes it
    gets."""

    lease: Lease
    now: datetime


def of_component(component: str) -> str:
    """The name of the lease on a component."""
    return f"component:{component}"


def of_result(component: str, fingerprint: str) -> str:
    """The name of the lease on computing what would be found by a fingerprint."""
    return f"result:{component}:{fingerprint}"


def of_run(run_id: int) -> str:
    """The name of the lease on a run."""
    return f"run:{run_id}"


def of_collector(source: str) -> str:
    """The name of the lease on the inbox of a remote source."""
    return f"collector:{source}"


def of_trader(agent_id: int) -> str:
    """The name of the lease on the account that an agent trades."""
    return f"trader:{agent_id}"


class Kind:
    """Where the leases of one kind lie, with the statements about them.

    Those are made once, since building a statement costs more than executing it; values are given as parameters.
    """

    def __init__(
        self,
        table: sa.Table,
        *,
        owner: str = "lease_owner",
        says: str,
        fix: str,
        of_project: bool,
        within: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`within`: the rest of the primary key, where that is more than one column."""
        (self.key,) = (column for column in table.primary_key.columns if column.name not in within)
        self.within = sa.and_(sa.true(), *(table.c[name] == value for name, value in within.items()))
        self.table, self.owner, self.says, self.fix, self.of_project = table, owner, says, fix, of_project

    @cached_property
    def row(self) -> sa.Select[tuple[Any, int, datetime | None, datetime | None]]:
        """The lease of `key`, its row locked until the transaction ends."""
        c = self.table.c
        columns = (c[self.owner], c.lease_token, c.lease_expires_at, c.lease_taken_at)
        return sa.select(*columns).where(self.key == sa.bindparam("key"), self.within).with_for_update()

    @cached_property
    def unless_taken(self) -> sa.Update:
        """An update of `key`, where no one took the lease since its token was `seen`."""
        unchanged = self.table.c.lease_token == sa.bindparam("seen")
        return sa.update(self.table).where(self.key == sa.bindparam("key"), self.within, unchanged)

    @cached_property
    def is_held(self) -> sa.ColumnElement[bool]:
        """Condition: the lease is held with a token; `holding` gives the parameters."""
        return sa.and_(
            self.key == sa.bindparam("held_key"),
            self.table.c.lease_token == sa.bindparam("held_token"),
            self.table.c[self.owner].is_not(None),
            self.within,
        )

    @cached_property
    def of_holder(self) -> sa.Update:
        """An update that only the holder can make: add `holding` to its values."""
        return sa.update(self.table).where(self.is_held)

    @cached_property
    def held_row(self) -> sa.Select[tuple[Any]]:
        """The key where the lease is held, its row locked until the transaction ends."""
        return sa.select(self.key).where(self.is_held).with_for_update()

    def held_by(self, owner: str, taken_at: Any, expires_at: Any) -> dict[str, Any]:
        """Values of a row whose lease `owner` takes, without the token; times as such or as SQL."""
        return {self.owner: owner, "lease_taken_at": taken_at, "lease_expires_at": expires_at}

    @cached_property
    def released(self) -> Mapping[str, Any]:
        """Values of a row whose lease is given back."""
        return {self.owner: None, "lease_expires_at": None, "lease_taken_at": None}


COMPONENT_ROWS = Kind(
    orchestrator_state,
    says="component {} is being run by {}",
    fix="wait for it (--wait), or stop that process",
    of_project=True,
)
RESULT_ROWS = Kind(
    result_leases, says="result {} is being computed by {}", fix="wait for it: it is there for all", of_project=True
)
RUN_ROWS = Kind(
    runs, owner="owner", says="run {} is carried out by {}", fix="wait for its end, or cancel it", of_project=False
)
RUNNER_ROWS = Kind(
    runner, says="runner {} is run by {}", fix="pause, stop or run it once through any server", of_project=False
)
COLLECTOR_ROWS = Kind(
    collectors,
    says="source {} is being collected by {}",
    fix="wait for its end, or stop that process; what it collects is there for all",
    of_project=True,
)
_KINDS: Mapping[str, Kind] = {
    "component": COMPONENT_ROWS,
    "result": RESULT_ROWS,
    "run": RUN_ROWS,
    "runner": RUNNER_ROWS,
    "collector": COLLECTOR_ROWS,
}


def holding(key: Any, token: int) -> dict[str, Any]:
    """Parameters of `Kind.is_held`: `key` is the row's primary key."""
    return {"held_key": key, "held_token": token}


def take(conn: sa.Connection, name: str, owner: str, seconds: float) -> Lease:
    """Take a lease for `seconds`, with a token larger than any before.

    Raises Busy where another process holds it (this very process too), NotFound where there is no such row.
    """
    return take_free(conn, find_free(conn, name), owner, seconds)


def find_free(conn: sa.Connection, name: str) -> Free:
    """Look whether a lease can be taken, and lock its row. Raises Busy and NotFound as `take` does."""
    kind, key = _of(name, conn)
    found = ask_with_time(conn, kind.row, {"key": key})
    if found is None:
        raise no_such_row(name)
    row, now = found
    held_by, token, expires_at, taken_at = row[:4]
    return free_at(name, now, held_by=held_by, token=token, expires_at=expires_at, taken_at=taken_at)


def free_at(
    name: str,
    now: datetime,
    *,
    held_by: str | None,
    token: int,
    expires_at: datetime | None,
    taken_at: datetime | None,
) -> Free:
    """The lease `name`, whose locked row says so at `now`. Raises Busy where it is held."""
    if is_at_work(held_by, expires_at, now):
        kind, key = _of(name)
        since = "" if taken_at is None else f" since {taken_at:%Y-%m-%d %H:%M:%S} UTC"
        raise Busy(
            kind.says.format(key, identity.describe(held_by or "")) + since,
            where=f"its lease ends at {expires_at:%Y-%m-%d %H:%M:%S} UTC unless it is extended",
            fix=kind.fix,
        )
    return Free(Lease(name, token + 1, held_by), now)


def no_such_row(name: str) -> NotFound:
    """The error about a lease whose row is not there."""
    what, _, key = name.partition(":")
    return NotFound(f"there is no {what} {key!r}", where=_of(name)[0].table.name, fix="see `agent state`")


def take_free(
    conn: sa.Connection, free: Free, owner: str, seconds: float, also: Mapping[str, Any] = MappingProxyType({})
) -> Lease:
    """Take a lease that was found free in this transaction; `also` are other columns of its row to write with it.
    Raises Busy where another process was first (a database that locks no rows)."""
    lease = free.lease
    kind, key = _of(lease.name, conn)
    held = kind.held_by(owner, free.now, free.now + timedelta(seconds=seconds))
    values = {"lease_token": lease.token, **also, **held}
    if conn.execute(kind.unless_taken, {"key": key, "seen": lease.token - 1, **values}).rowcount != 1:
        raise Busy(
            f"{lease.name.replace(':', ' ')} was taken by another process at this moment",
            where=f"its lease in {kind.table.name}",
            fix="try again, or wait for it (--wait)",
        )
    return lease


def extend(conn: sa.Connection, name: str, token: int, seconds: float) -> bool:
    """Let a lease end `seconds` from now. False where it is no longer held with `token`."""
    kind, key = _of(name, conn)
    expires_at = database_now(conn) + timedelta(seconds=seconds)
    return conn.execute(kind.of_holder, {**holding(key, token), "lease_expires_at": expires_at}).rowcount == 1


def is_held(conn: sa.Connection, name: str, token: int) -> bool:
    """Whether a lease is held with `token`. The row stays locked until the transaction ends."""
    kind, key = _of(name, conn)
    return conn.execute(kind.held_row, holding(key, token)).one_or_none() is not None


def release(conn: sa.Connection, name: str, token: int) -> bool:
    """Give a lease back and leave the rest of its row as it is. False where it is no longer held with `token`."""
    kind, key = _of(name, conn)
    return conn.execute(kind.of_holder, {**holding(key, token), **kind.released}).rowcount == 1


def give_back(conn: sa.Connection, lease: Lease | None) -> None:
    """Release a lease, if there is one and it is still held."""
    if lease is not None:
        release(conn, lease.name, lease.token)


def connection_of(connections: Connections, name: str) -> sa.Connection:
    """The one of two connections that reaches the row of a lease."""
    return connections.project if _of(name)[0].of_project else connections.control


def in_lock_order(held: Iterable[Lease]) -> list[Lease]:
    """Leases as one transaction takes them up: those of a project before those in control rows (see Connections)."""
    return sorted(held, key=lambda one: not _of(one.name)[0].of_project)


def is_at_work(owner: str | None, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a lease is in force at `now`: it has not ended, and its holder is not known to be dead."""
    return owner is not None and expires_at is not None and expires_at > now and identity.is_alive(owner) is not False


@cache
def _trader_rows() -> Kind:
    """Apart: a run with nothing to do must not pay for the tables of the trading agent."""
    from agent.store.trading_tables import agents

    says, fix = "account of agent {} is traded by {}", "stop that process, or wait for its end"
    return Kind(agents, says=says, fix=fix, of_project=True)


@lru_cache(maxsize=64)
def component_rows(try_id: int) -> Kind:
    """Where the leases on the components of a try lie; production's for 0."""
    if try_id == 0:
        return COMPONENT_ROWS
    says, fix = f"component {{}} of try {try_id} is being run by {{}}", "wait for its end, or stop that process"
    return Kind(try_state, says=says, fix=fix, of_project=True, within={"try_id": try_id})


def add_result_row(conn: sa.Connection, name: str) -> None:
    """Make the row that the lease `name` on a result lies in, unless it is there."""
    row = {"name": name.partition(":")[2]}
    conn.execute(insert(conn, result_leases).on_conflict_do_nothing(), row)


def _of(name: str, conn: sa.Connection | None = None) -> tuple[Kind, Any]:
    """The kind of a lease, and the primary key of its row. `conn` says whose components are meant."""
    prefix, _, key = name.partition(":")
    kind = _trader_rows() if prefix == "trader" else _KINDS[prefix]
    if prefix == "component" and conn is not None:
        kind = component_rows(try_of(conn))
    return kind, kind.key.type.python_type(key)
