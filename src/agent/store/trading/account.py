"""The account that an agent trades: its row, its lease, and the one way to write under it.

One row per (platform, account) goes on over restarts, whatever the options: baseline, peak and cycle with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from agent.errors import Conflict, LeaseLost, NotFound
from agent.store import leases
from agent.store.database.engine import Database, database_now, writing
from agent.store.leases import Lease
from agent.store.trading import booking
from agent.store.trading_tables import agents, kill_switch
from pipelines.values import dataclass

Row = dict[str, Any]
StateOf = Callable[[Iterable[str]], str]  # reasons -> the trading state that they bring, see trading.states.permissions
_PERSON, _MONITOR, _RESUMED = "person", "monitor", "resumed"
_LATER, _EVER = timedelta(microseconds=1), datetime(1, 1, 1, tzinfo=UTC)
_REPLAY = "replay-"


def replay_name(since: datetime) -> str:
    """The account of a replay that begins at `since`."""
    return f"{_REPLAY}{since:%Y%m%dT%H%M%S}"


def is_replay(agent: Mapping[str, Any]) -> bool:
    """Whether an agent's account is one of a replay."""
    return str(agent["account_ref"]).startswith(_REPLAY)


@dataclass(frozen=True)
class Opening:
    """What a start knows of the account. equity: what gain and loss are measured from where the row is new."""

    name: str
    mode: str
    platform: str
    account_ref: str
    config: Mapping[str, Any]
    config_hash: str
    equity: Decimal


@dataclass(frozen=True)
class Held:
    """An account whose lease is held: what every step of a trader writes under. begun_at: when its books began; what
    the account did before is in those of agents that were retired."""

    agent_id: int
    platform: str
    account_ref: str
    lease: Lease
    begun_at: datetime


def open_account(database: Database, opening: Opening, owner: str, seconds: float, now: datetime) -> Held:
    """T0: take the lease on the account, its row made where there is none.

    Raises Busy where another process holds it, Conflict where it was opened in another mode.
    """
    with writing(database.project) as conn:
        agent_id, wanted, begun = _open_row(conn, opening, now)
        free = leases.find_free(conn, leases.of_trader(agent_id))
        facts = {"config": dict(opening.config), "config_hash": opening.config_hash, "name": opening.name}
        lease = leases.take_free(conn, free, owner, seconds, facts | {"wanted_state": wanted})
    return Held(agent_id, opening.platform, opening.account_ref, lease, begun)


def _open_row(conn: sa.Connection, opening: Opening, now: datetime) -> tuple[int, str, datetime]:
    """The id of the account's row, what it is to do (a pause outlives a restart), and when its books began. Its row is
    locked: who retires it is before this, or sees the lease."""
    where = (opening.platform, opening.account_ref)
    found = conn.execute(open_row(*where).with_for_update()).mappings().one_or_none()
    if found is not None:
        if found["mode"] != opening.mode:
            raise Conflict(
                f"account {opening.account_ref} on {opening.platform} was opened in mode {found['mode']}",
                where="agents.mode",
                fix=f"start it in mode {found['mode']}, or name another account",
            )
        wanted = "paused" if found["wanted_state"] == "paused" else "running"
        return int(found["id"]), wanted, begun_at(conn, dict(found))
    newest = booking.newest_booked(conn, *where)
    # Where time stands still, later than the last book of the agent before.
    created_at = now if newest is None else max(now, newest + _LATER)
    values = {
        "name": opening.name,
        "mode": opening.mode,
        "platform": opening.platform,
        "account_ref": opening.account_ref,
        "config": dict(opening.config),
        "config_hash": opening.config_hash,
        "initial_equity": opening.equity,
        "armed_at": now,
        "peak_equity": opening.equity,
        "peak_at": now,
        "created_at": created_at,
    }
    row = conn.execute(sa.insert(agents).values(values).returning(agents)).mappings().one()
    return int(row["id"]), "running", begun_at(conn, dict(row))


def begun_at(conn: sa.Connection, agent: Mapping[str, Any]) -> datetime:
    """When an agent's books began: with its row where it followed one that was retired. The first agent of an account
    has all that is booked there, whatever a clock says that went back."""
    its = sa.and_(agents.c.platform == agent["platform"], agents.c.account_ref == agent["account_ref"])
    is_first = conn.scalar(sa.select(sa.func.min(agents.c.id)).where(its)) == agent["id"]
    found: datetime = _EVER if is_first else agent["created_at"]
    return found


def open_row(platform: str, account_ref: str) -> sa.Select[Any]:
    """The row of an account that was not retired."""
    here = sa.and_(agents.c.platform == platform, agents.c.account_ref == account_ref, agents.c.ended_at.is_(None))
    return sa.select(agents).where(here)


def load(conn: sa.Connection, agent_id: int) -> Row:
    """The row of an agent. Raises NotFound."""
    found = conn.execute(sa.select(agents).where(agents.c.id == agent_id)).mappings().one_or_none()
    if found is None:
        raise NotFound(f"there is no agent {agent_id}", where="agents", fix="`agent run-agent` makes one")
    return dict(found)


def all_open(conn: sa.Connection) -> list[Row]:
    """Agents that are not retired, the newest first."""
    query = sa.select(agents).where(agents.c.ended_at.is_(None)).order_by(agents.c.id.desc())
    return [dict(row) for row in conn.execute(query).mappings()]


def lock_open(conn: sa.Connection) -> list[Row]:
    """Agents that are not retired, their rows locked until the transaction ends: the oldest first, so that no two who
    ask wait for each other."""
    query = sa.select(agents).where(agents.c.ended_at.is_(None)).order_by(agents.c.id).with_for_update()
    return [dict(row) for row in conn.execute(query).mappings()]


def newest_of(conn: sa.Connection, account_ref: str) -> Row | None:
    """The agent of an account, or, where a person retired it and no start followed, the last one; None: nobody ever
    traded it."""
    query = sa.select(agents).where(agents.c.account_ref == account_ref)
    found = conn.execute(query.order_by(agents.c.ended_at.is_not(None), agents.c.id.desc()).limit(1)).mappings()
    row = found.one_or_none()
    return None if row is None else dict(row)


def was_opened(conn: sa.Connection) -> bool:
    """Whether an account was ever traded here, retired ones too."""
    return conn.scalar(sa.select(agents.c.id).limit(1)) is not None


def is_traded(conn: sa.Connection, agent: Mapping[str, Any]) -> bool:
    """Whether a process trades an agent's account now: a crashed one does so no longer."""
    return leases.is_at_work(agent["lease_owner"], agent["lease_expires_at"], database_now(conn))


@contextmanager
def holding(database: Database, held: Held) -> Iterator[sa.Connection]:
    """A transaction of the lease's holder, the agent's row locked first, so that of two steps one is first.

    Raises LeaseLost where another took over.
    """
    with writing(database.project) as conn:
        if not leases.is_held(conn, held.lease.name, held.lease.token):
            raise LeaseLost(
                f"the account of agent {held.agent_id} was taken over by another process",
                where="agents.lease_token",
                fix="one process trades an account: stop this one",
            )
        yield conn


def close_account(database: Database, held: Held) -> None:
    """Give the lease back; nothing where another has it by now."""
    with writing(database.project) as conn:
        leases.release(conn, held.lease.name, held.lease.token)


def fence(conn: sa.Connection, agent_id: int, owner: str) -> datetime:
    """Lock an agent's row where no process trades it; one that overslept writes nothing any more. Returns the
    database's time. Raises Busy."""
    free = leases.find_free(conn, leases.of_trader(agent_id))
    lease = leases.take_free(conn, free, owner, 0)
    leases.release(conn, lease.name, lease.token)
    return free.now


def set_reason(conn: sa.Connection, agent_id: int, reason: str, words: str | None, state_of: StateOf) -> str:
    """Let a reason hold, or (None) be gone; returns the trading state that follows from those that hold."""
    row = conn.execute(sa.select(agents.c.trading_reason).where(agents.c.id == agent_id).with_for_update()).one()
    held = {name: text for name, text in (row[0] or {}).items() if name != reason}
    if words is not None:
        held[reason] = words
    state = state_of(held)
    update(conn, agent_id, trading_reason=held or None, trading_state=state)
    return state


def update(conn: sa.Connection, agent_id: int, **values: Any) -> None:
    """Write columns of the agent's row."""
    conn.execute(sa.update(agents).where(agents.c.id == agent_id).values(values))


def pause(conn: sa.Connection, agent_id: int, reason: str, state_of: StateOf) -> str:
    """A person wants no new risk. It holds at once: the next order is judged by it. Returns the trading state."""
    update(conn, agent_id, wanted_state="paused")
    set_reason(conn, agent_id, _RESUMED, None, state_of)
    return set_reason(conn, agent_id, _PERSON, reason, state_of)


def resume(conn: sa.Connection, agent_id: int, state_of: StateOf, words: str | None = None) -> str:
    """Take away what a person, or their own monitoring, held back, and no other reason; `words` say why, until the
    next pause. Returns the trading state, which other reasons may still bring."""
    update(conn, agent_id, wanted_state="running")
    set_reason(conn, agent_id, _RESUMED, words, state_of)
    set_reason(conn, agent_id, _MONITOR, None, state_of)
    return set_reason(conn, agent_id, _PERSON, None, state_of)


def standing_kill(conn: sa.Connection, platform: str, account_ref: str) -> Row | None:
    """The kill of an account that nobody has reset; None: it may trade."""
    k = kill_switch.c
    here = sa.and_(k.platform == platform, k.account_ref == account_ref, k.state != "reset")
    found = conn.execute(sa.select(kill_switch).where(here)).mappings().one_or_none()
    return None if found is None else dict(found)
