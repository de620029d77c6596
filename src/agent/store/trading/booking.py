"""The books in SQL: fills and cash movements as they come, positions, trades and equity that follow from them (T9).

Arithmetic is the ledger's (`agent.trading.ledger`), which lies above the store: the caller brings what follows from its
rows. Each call is part of the caller's transaction under its lease.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from agent.store.database.engine import insert
from agent.store.ledger_tables import cash_movements, discrepancies, equity, fills, positions, trades
from agent.store.trading.deciding import plain_json
from agent.store.trading_tables import decisions, orders

Row = dict[str, Any]
_AT_ONCE = 5000  # ids in one question: databases bound how many


def add_fill(conn: sa.Connection, values: Mapping[str, Any]) -> bool:
    """A row of `fills`. False where it is on record already: a fill that is listed twice is one."""
    new = insert(conn, fills).values(dict(values)).on_conflict_do_nothing()
    return conn.execute(new.returning(fills.c.platform_fill_id)).one_or_none() is not None


def add_movement(conn: sa.Connection, values: Mapping[str, Any]) -> bool:
    """A row of `cash_movements`. False where it is on record already."""
    new = insert(conn, cash_movements).values(dict(values)).on_conflict_do_nothing()
    return conn.execute(new.returning(cash_movements.c.external_id)).one_or_none() is not None


def settle_fill(conn: sa.Connection, platform: str, account_ref: str, fill_id: str) -> None:
    """A fill that was pending is confirmed."""
    c = fills.c
    here = sa.and_(c.platform == platform, c.account_ref == account_ref, c.platform_fill_id == fill_id)
    conn.execute(sa.update(fills).where(here).values(settlement="confirmed"))


def fills_of(
    conn: sa.Connection,
    platform: str,
    account_ref: str,
    since: datetime | None = None,
    *,
    key: tuple[str, str] | None = None,
    order: str | None = None,
) -> list[Row]:
    """Fills of an account by time, then id: since a time, of one market and outcome, of one order."""
    c = fills.c
    query = sa.select(fills).where(c.platform == platform, c.account_ref == account_ref)
    if key is not None:
        query = query.where(c.market_id == key[0], c.outcome == key[1])
    if since is not None:
        query = query.where(c.ts >= since)
    if order is not None:
        query = query.where(c.client_order_id == order)
    return [dict(row) for row in conn.execute(query.order_by(c.ts, c.platform_fill_id)).mappings()]


def fills_named(conn: sa.Connection, platform: str, account_ref: str, names: Collection[str]) -> list[Row]:
    """Fills of an account by their ids, those that are on record."""
    c, wanted, found = fills.c, sorted(names), []
    for first in range(0, len(wanted), _AT_ONCE):
        here = sa.and_(c.platform == platform, c.account_ref == account_ref)
        some = sa.select(fills).where(here, c.platform_fill_id.in_(wanted[first : first + _AT_ONCE]))
        found += [dict(row) for row in conn.execute(some).mappings()]
    return found


def fills_with_mids(
    conn: sa.Connection,
    platform: str,
    account_ref: str,
    since: datetime,
    *,
    until: datetime | None = None,
    key: tuple[str, str] | None = None,
) -> list[Row]:
    """Fills of an account since a time, and up to one, by time, then id, each with reference_mid of its order's
    decision (of YES where the outcome is no; null where there is none): of one market and outcome, or all."""
    c, d = fills.c, decisions.c
    query = (
        sa.select(fills, d.reference_mid)
        .outerjoin(orders, orders.c.client_order_id == c.client_order_id)
        .outerjoin(decisions, d.decision_id == orders.c.decision_id)
        .where(c.platform == platform, c.account_ref == account_ref, c.ts >= since)
    )
    if until is not None:
        # What takes one of them back may have come later: it always counts.
        query = query.where(sa.or_(c.ts <= until, c.settlement == "failed"))
    if key is not None:
        query = query.where(c.market_id == key[0], c.outcome == key[1])
    return [dict(row) for row in conn.execute(query.order_by(c.ts, c.platform_fill_id)).mappings()]


def has_inferred(conn: sa.Connection, platform: str, account_ref: str, key: tuple[str, str]) -> bool:
    """Whether a fill of a market and outcome is on record that nobody listed."""
    c = fills.c
    here = sa.and_(c.platform == platform, c.account_ref == account_ref, c.market_id == key[0], c.outcome == key[1])
    return conn.execute(sa.select(sa.literal(1)).where(here, c.inferred).limit(1)).first() is not None


def newest_fill_at(conn: sa.Connection, platform: str, account_ref: str, key: tuple[str, str]) -> datetime | None:
    """When a market and outcome was last traded; None: never."""
    c = fills.c
    here = sa.and_(c.platform == platform, c.account_ref == account_ref, c.market_id == key[0], c.outcome == key[1])
    found: datetime | None = conn.scalar(sa.select(sa.func.max(c.ts)).where(here))
    return found


def movements_of(conn: sa.Connection, platform: str, account_ref: str, since: datetime | None = None) -> list[Row]:
    """Cash movements of an account by time, then id; with `since` those from then on."""
    c = cash_movements.c
    query = sa.select(cash_movements).where(c.platform == platform, c.account_ref == account_ref)
    if since is not None:
        query = query.where(c.ts >= since)
    return [dict(row) for row in conn.execute(query.order_by(c.ts, c.external_id)).mappings()]


def movements_between(
    conn: sa.Connection, platform: str, account_ref: str, since: datetime
) -> tuple[datetime, datetime] | None:
    """When the first and the newest cash movement of an account since a time were; None: there is none, the books that
    began then are not open."""
    c = cash_movements.c
    query = sa.select(sa.func.min(c.ts, type_=c.ts.type), sa.func.max(c.ts, type_=c.ts.type))
    here = sa.and_(c.platform == platform, c.account_ref == account_ref, c.ts >= since)
    first, last = conn.execute(query.where(here)).one()
    return None if first is None else (first, last)


def newest_booked(conn: sa.Connection, platform: str, account_ref: str) -> datetime | None:
    """When the newest fill or cash movement of an account was; None: there is none."""
    found = []
    for c in (fills.c, cash_movements.c):
        query = sa.select(sa.func.max(c.ts, type_=c.ts.type))
        found.append(conn.scalar(query.where(c.platform == platform, c.account_ref == account_ref)))
    return max((one for one in found if one is not None), default=None)


def positions_of(conn: sa.Connection, agent_id: int) -> list[Row]:
    """Positions of an agent, those that are flat too."""
    c = positions.c
    query = sa.select(positions).where(c.agent_id == agent_id).order_by(c.market_id, c.outcome)
    return [dict(row) for row in conn.execute(query).mappings()]


def position_of(conn: sa.Connection, agent_id: int, key: tuple[str, str]) -> Row | None:
    """One position's row."""
    c = positions.c
    here = sa.and_(c.agent_id == agent_id, c.market_id == key[0], c.outcome == key[1])
    found = conn.execute(sa.select(positions).where(here)).mappings().one_or_none()
    return None if found is None else dict(found)


def put_position(conn: sa.Connection, values: Mapping[str, Any]) -> None:
    """Write a position's row, whether it is there or not."""
    _upsert(conn, positions, values, ("agent_id", "market_id", "outcome"))


def trades_of(conn: sa.Connection, agent_id: int) -> list[Row]:
    """Closed round trips in the order in which they ended."""
    c = trades.c
    query = sa.select(trades).where(c.agent_id == agent_id).order_by(c.closed_at, c.id)
    return [dict(row) for row in conn.execute(query).mappings()]


def put_trades(conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write closed round trips; one that is there already is written again."""
    for row in rows:
        _upsert(conn, trades, row, ("id",))


def forget_trades(conn: sa.Connection, agent_id: int, key: tuple[str, str]) -> None:
    """Remove the round trips of a market and outcome: they are made again from its fills."""
    c = trades.c
    conn.execute(sa.delete(trades).where(c.agent_id == agent_id, c.market_id == key[0], c.outcome == key[1]))


def newest_equity(conn: sa.Connection, agent_id: int) -> Row | None:
    """The newest row of `equity`."""
    query = sa.select(equity).where(equity.c.agent_id == agent_id).order_by(equity.c.ts.desc()).limit(1)
    found = conn.execute(query).mappings().first()
    return None if found is None else dict(found)


def stale_before(conn: sa.Connection, agent_id: int, ts: datetime, most: int) -> int:
    """How many readings without a break before `ts` were stale, counted up to `most`."""
    c = equity.c
    query = sa.select(c.stale).where(c.agent_id == agent_id, c.ts < ts).order_by(c.ts.desc()).limit(most)
    return len(list(itertools.takewhile(bool, conn.execute(query).scalars())))


def opening_of_day(
    conn: sa.Connection, agent_id: int, midnight: datetime
) -> tuple[Decimal, list[tuple[Decimal, Decimal]]] | None:
    """What the account was worth at `midnight`, and the flows since: (equity just before, what came or went).

    The newest good reading of the day before counts, else the first good one since; None where there is none.
    """
    c = equity.c
    good = sa.select(c.ts, c.equity).where(c.agent_id == agent_id, ~c.stale).limit(1)
    day_before = sa.and_(c.ts <= midnight, c.ts >= midnight - timedelta(days=1))
    first = conn.execute(good.where(day_before).order_by(c.ts.desc())).one_or_none()
    first = first or conn.execute(good.where(c.ts > midnight).order_by(c.ts)).one_or_none()
    if first is None:
        return None
    later = sa.select(c.ts, c.net_flow).where(c.agent_id == agent_id, c.ts > first.ts, c.net_flow != 0).order_by(c.ts)
    flows = []
    for ts, flow in conn.execute(later).all():
        before = equity_before(conn, agent_id, ts)
        assert before is not None, "the day's first reading is"
        flows.append((before["equity"], flow))
    return first.equity, flows


def equity_between(conn: sa.Connection, agent_id: int, since: datetime, before: datetime) -> list[Row]:
    """Rows of `equity` from `since` on and before `before`, the oldest first."""
    c = equity.c
    query = sa.select(c.ts, c.equity, c.net_flow).where(c.agent_id == agent_id, c.ts >= since, c.ts < before)
    return [dict(row) for row in conn.execute(query.order_by(c.ts)).mappings()]


def equity_before(conn: sa.Connection, agent_id: int, moment: datetime) -> Row | None:
    """The newest row of `equity` before a moment."""
    c = equity.c
    query = sa.select(equity).where(c.agent_id == agent_id, c.ts < moment).order_by(c.ts.desc()).limit(1)
    found = conn.execute(query).mappings().first()
    return None if found is None else dict(found)


def equity_at(conn: sa.Connection, agent_id: int, moment: datetime) -> Row | None:
    """The newest row of `equity` at a moment or before it."""
    c = equity.c
    query = sa.select(equity).where(c.agent_id == agent_id, c.ts <= moment).order_by(c.ts.desc()).limit(1)
    found = conn.execute(query).mappings().first()
    return None if found is None else dict(found)


def equity_of(conn: sa.Connection, agent_id: int, limit: int | None) -> list[Row]:
    """Rows of `equity`, the newest first; None: all of them."""
    query = sa.select(equity).where(equity.c.agent_id == agent_id).order_by(equity.c.ts.desc()).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def worst_drawdown(conn: sa.Connection, agent_id: int) -> float:
    """The largest fall from a peak, a fraction; 0 where nothing was measured."""
    return float(conn.scalar(sa.select(sa.func.max(equity.c.drawdown)).where(equity.c.agent_id == agent_id)) or 0.0)


def put_equity(conn: sa.Connection, values: Mapping[str, Any]) -> None:
    """What the account is worth at a moment; said again for the same moment, the later word holds."""
    _upsert(conn, equity, {**values, "marks": plain_json(values["marks"])}, ("agent_id", "ts"))


def add_discrepancy(conn: sa.Connection, values: Mapping[str, Any]) -> bool:
    """A row of `discrepancies`. False where the same was found before."""
    row = {**values, "ledger": plain_json(values["ledger"]), "platform": plain_json(values["platform"])}
    new = insert(conn, discrepancies).values(row).on_conflict_do_nothing(index_elements=["id"])
    return conn.execute(new.returning(discrepancies.c.id)).one_or_none() is not None


def discrepancies_of(conn: sa.Connection, agent_id: int) -> list[Row]:
    """Differences that were found, the oldest first."""
    c = discrepancies.c
    query = sa.select(discrepancies).where(c.agent_id == agent_id).order_by(c.found_at, c.id)
    return [dict(row) for row in conn.execute(query).mappings()]


def accept(conn: sa.Connection, agent_id: int, found: str, note: str, at: datetime) -> None:
    """A person says of a difference that the platform is right."""
    c = discrepancies.c
    here = sa.and_(c.agent_id == agent_id, c.id == found)
    values = {"resolution": "by_person", "note": note, "resolved_at": at}
    conn.execute(sa.update(discrepancies).where(here).values(values))


def _upsert(conn: sa.Connection, table: sa.Table, values: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    new = insert(conn, table)
    changed = {name: new.excluded[name] for name in values if name not in keys}
    conn.execute(new.on_conflict_do_update(index_elements=list(keys), set_=changed), dict(values))
