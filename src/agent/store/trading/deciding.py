"""Decisions, opinions and verdicts (T3, T4), and locks: what was decided, and why nothing was traded."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from agent.amounts import plain
from agent.store.database.engine import insert
from agent.store.trading_tables import decisions, locks, opinions, orders, verdicts

_NOTHING_SAID: Mapping[str, Any] = {"probability": None, "confidence": None, "weight_used": None}
_NAMES = uuid.UUID("6f0b5d0e-6c1f-5e0d-9f53-2a4a4f8b7c11")


def decision_id(agent_id: int, cycle: int, market_id: str) -> str:
    """The id of a decision: the same again where it is made again."""
    return str(uuid.uuid5(_NAMES, f"{agent_id}\x1f{cycle}\x1f{market_id}"))


def synthetic_id(agent_id: int, key: tuple[str, str], found_at: datetime) -> str:
    """The id of a decision for a position that was found."""
    return str(uuid.uuid5(_NAMES, "\x1f".join((str(agent_id), *key, found_at.isoformat()))))


def closing_id(agent_id: int, *parts: object) -> str:
    """The id of a decision to close that no cycle made; `parts` say which one it is."""
    return str(uuid.uuid5(_NAMES, "\x1f".join(str(one) for one in (agent_id, "close", *parts))))


def save_decision(conn: sa.Connection, decision: Mapping[str, Any], said: Sequence[Mapping[str, Any]]) -> bool:
    """T3: one decision (columns of `decisions`) with its opinions (columns of `opinions`), in one transaction with what
    else the caller writes. False where it is on record already: it is not made twice, and its opinions stay."""
    # Values as parameters: SQLAlchemy then finds the statement that it made before.
    new = _new(conn).returning(decisions.c.decision_id)
    if conn.execute(new, _values(decision)).one_or_none() is None:  # PostgreSQL counts no rows
        return False
    rows = [
        {**_NOTHING_SAID, **one, "reasons": plain_json(one["reasons"]), "abstained": one["probability"] is None}
        for one in said
    ]
    if rows:
        conn.execute(sa.insert(opinions), [{**row, "decision_id": decision["decision_id"]} for row in rows])
    return True


def save_abstentions(conn: sa.Connection, made: Sequence[Mapping[str, Any]]) -> None:
    """T3: decisions about markets of which nobody was asked, those that are not on record already."""
    if made:
        conn.execute(_new(conn), [_values(one) for one in made])


def _new(conn: sa.Connection) -> Any:
    return insert(conn, decisions).on_conflict_do_nothing(index_elements=["decision_id"])


def _values(decision: Mapping[str, Any]) -> dict[str, Any]:
    return {**decision, "reasons": plain_json(decision["reasons"])}


def save_verdicts(conn: sa.Connection, decision: str, said: Sequence[Mapping[str, Any]], *, status: str) -> None:
    """T4: all verdicts about a decision (columns of `verdicts`, in order), in place of earlier ones, since rules are
    pure and may judge again; and what becomes of the decision."""
    conn.execute(sa.delete(verdicts).where(verdicts.c.decision_id == decision))
    rows = [
        {**one, "evidence": plain_json(one["evidence"]), "decision_id": decision, "seq": number}
        for number, one in enumerate(said, start=1)
    ]
    if rows:
        conn.execute(sa.insert(verdicts), rows)
    set_status(conn, decision, status)


def set_status(conn: sa.Connection, decision: str, status: str) -> None:
    """What becomes of a decision."""
    conn.execute(sa.update(decisions).where(decisions.c.decision_id == decision).values(status=status))


def refuse(conn: sa.Connection, decision: str, code: str, text: str) -> None:
    """No order came of a decision after all: why goes before what it says of itself."""
    d = decisions.c
    said = conn.scalar(sa.select(d.reasons).where(d.decision_id == decision)) or []
    values = {"status": "refused", "reasons": [{"code": code, "text": text}, *said]}
    conn.execute(sa.update(decisions).where(d.decision_id == decision).values(values))


def add_lock(
    conn: sa.Connection, agent_id: int, *, market: str, side: str, until: datetime, rule: str, why: str, now: datetime
) -> None:
    """Let nothing be opened in `market` (* for all) until a time."""
    values = {"agent_id": agent_id, "market_id": market, "side": side, "until_at": until, "rule": rule, "reason": why}
    conn.execute(sa.insert(locks).values({**values, "created_at": now}))


def locks_at(conn: sa.Connection, agent_id: int, now: datetime) -> list[dict[str, Any]]:
    """Locks that hold at `now`."""
    here = sa.and_(locks.c.agent_id == agent_id, locks.c.until_at > now, locks.c.deleted_by.is_(None))
    return [dict(row) for row in conn.execute(sa.select(locks).where(here).order_by(locks.c.id)).mappings()]


def lock_since(conn: sa.Connection, agent_id: int, rule: str, since: datetime) -> dict[str, Any] | None:
    """The newest lock of a rule that was made at `since` or later, ended or not."""
    here = sa.and_(locks.c.agent_id == agent_id, locks.c.rule == rule, locks.c.created_at >= since)
    found = conn.execute(sa.select(locks).where(here).order_by(locks.c.id.desc()).limit(1)).mappings().one_or_none()
    return None if found is None else dict(found)


def refused_entry(conn: sa.Connection, agent_id: int, market_id: str, at: datetime) -> dict[str, Any] | None:
    """The newest entry that was refused in a market up to a moment: its action and what the book showed."""
    d = decisions.c
    its = sa.and_(d.agent_id == agent_id, d.market_id == market_id, d.made_at <= at)
    entry = sa.and_(its, d.status == "refused", d.action.in_(("buy", "sell")))
    query = sa.select(d.action, d.reference_bid, d.reference_ask).where(entry).order_by(d.made_at.desc()).limit(1)
    found = conn.execute(query).mappings().one_or_none()
    return None if found is None else dict(found)


def delete_lock(conn: sa.Connection, agent_id: int, lock_id: int, by: str) -> bool:
    """End a lock of an agent early. False where there is none that stands."""
    here = sa.and_(locks.c.agent_id == agent_id, locks.c.id == lock_id, locks.c.deleted_by.is_(None))
    return conn.execute(sa.update(locks).where(here).values(deleted_by=by)).rowcount == 1


def entry_on_bar(conn: sa.Connection, agent_id: int, market_id: str, as_of: datetime, but: str) -> bool:
    """Whether an entry was ordered on the bar that ended at `as_of`, by another decision than `but`: also one that was
    denied at the last look, or that the platform did not take."""
    d = decisions.c
    # Nothing is decided before what it knows: the index finds what was made since.
    since = sa.and_(d.agent_id == agent_id, d.market_id == market_id, d.made_at >= as_of)
    its = sa.and_(since, d.as_of == as_of, d.decision_id != but)
    entered = sa.and_(its, d.action.in_(("buy", "sell")), ~d.synthetic)
    query = sa.select(sa.func.count()).select_from(decisions).join(orders, orders.c.decision_id == d.decision_id)
    return conn.scalar(query.where(entered)) != 0


def abandon_made(conn: sa.Connection, agent_id: int) -> int:
    """Give up decisions that a crash left without an order: their prices are old. Returns how many."""
    d = decisions.c
    here = sa.and_(d.agent_id == agent_id, d.status.in_(("made", "approved")), d.action.in_(("buy", "sell", "close")))
    return conn.execute(sa.update(decisions).where(here).values(status="abandoned")).rowcount


def decisions_of(conn: sa.Connection, agent_id: int, market: str | None, limit: int | None) -> list[dict[str, Any]]:
    """Decisions, the newest first, each with its `opinions` and `verdicts`. market: its id."""
    d = decisions.c
    query = sa.select(decisions).where(d.agent_id == agent_id)
    if market is not None:
        query = query.where(d.market_id == market)
    query = query.order_by(d.made_at.desc(), d.cycle.desc(), d.market_id).limit(limit)
    found = [dict(row) for row in conn.execute(query).mappings()]
    for one in found:
        for name, table, by in (("opinions", opinions, opinions.c.provider), ("verdicts", verdicts, verdicts.c.seq)):
            its = sa.select(table).where(table.c.decision_id == one["decision_id"]).order_by(by)
            one[name] = [dict(row) for row in conn.execute(its).mappings()]
    return found


def pairs_since(conn: sa.Connection, agent_id: int, cycle: int) -> dict[str, str]:
    """Markets that were decided on from a cycle on -> the pair that a person named each by."""
    d = decisions.c
    here = sa.and_(d.agent_id == agent_id, d.cycle >= cycle, ~d.synthetic)
    found = conn.execute(sa.select(d.market_id, d.pair).where(here).order_by(d.cycle))
    return {market: pair for market, pair in found if pair}


def has_decided(conn: sa.Connection, agent_id: int, market_id: str) -> bool:
    """Whether a market was ever decided on."""
    d = decisions.c
    its = sa.select(sa.literal(1)).where(d.agent_id == agent_id, d.market_id == market_id).limit(1)
    return conn.execute(its).first() is not None


def of_cycle(conn: sa.Connection, agent_id: int, cycle: int) -> list[dict[str, Any]]:
    """Decisions of one cycle by market, each with those of its `verdicts` that refuse, in order."""
    d, v = decisions.c, verdicts.c
    here = sa.and_(d.agent_id == agent_id, d.cycle == cycle, ~d.synthetic)
    found = [dict(row) for row in conn.execute(sa.select(decisions).where(here).order_by(d.market_id)).mappings()]
    its = sa.select(verdicts).join(decisions, d.decision_id == v.decision_id).where(here, v.verdict == "refuse")
    refusals: dict[str, list[dict[str, Any]]] = {}
    for row in conn.execute(its.order_by(v.seq)).mappings():
        refusals.setdefault(row["decision_id"], []).append(dict(row))
    return [one | {"verdicts": refusals.get(one["decision_id"], [])} for one in found]


def refusals_between(
    conn: sa.Connection, agent_id: int, since: datetime, before: datetime
) -> list[tuple[str, int, datetime]]:
    """How often each rule refused, and when it last did; the one that did so most often first."""
    d, v = decisions.c, verdicts.c
    count, last = sa.func.count(), sa.func.max(d.made_at, type_=d.made_at.type)
    query = sa.select(v.rule, count, last).join(decisions, d.decision_id == v.decision_id)
    query = query.where(d.agent_id == agent_id, d.made_at >= since, d.made_at < before, v.verdict == "refuse")
    return [(rule, n, at) for rule, n, at in conn.execute(query.group_by(v.rule).order_by(count.desc(), v.rule))]


def outcomes_of(conn: sa.Connection, agent_id: int) -> list[tuple[str, str, str | None, str | None]]:
    """Each decision's action and status, with the rule that refused it and why (None: none did), in order."""
    d, v = decisions.c, verdicts.c
    refusal = sa.and_(v.decision_id == d.decision_id, v.verdict == "refuse")
    query = sa.select(d.action, d.status, v.rule, v.reason).outerjoin(verdicts, refusal)
    found = conn.execute(query.where(d.agent_id == agent_id, ~d.synthetic).order_by(d.cycle, d.market_id))
    return [(action, status, rule, reason) for action, status, rule, reason in found]


def changed_by(conn: sa.Connection, agent_id: int) -> dict[str, int]:
    """How many orders each rule refused or reduced."""
    d, v = decisions.c, verdicts.c
    query = sa.select(v.rule, sa.func.count()).join(decisions, d.decision_id == v.decision_id)
    found = conn.execute(query.where(d.agent_id == agent_id, v.verdict != "allow").group_by(v.rule).order_by(v.rule))
    return {str(rule): int(count) for rule, count in found}


def plain_json(value: Any) -> Any:
    """Evidence as JSON: amounts in plain notation, times in ISO 8601."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return value
