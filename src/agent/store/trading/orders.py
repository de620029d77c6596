"""Orders and their log: PREPARED (T6) before anything is sent, SENDING (T7) before the first byte, then what comes of
it (T8). Each call is part of the caller's transaction under its lease."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from agent.store.ledger_tables import positions
from agent.store.trading.deciding import plain_json
from agent.store.trading_tables import decisions, order_events, orders

Row = dict[str, Any]


def prepare(conn: sa.Connection, order: Mapping[str, Any], source: str) -> None:
    """T6: a row of `orders` in its first status, and the first line of its log."""
    conn.execute(sa.insert(orders).values(dict(order)))
    _log(conn, order["client_order_id"], "prepared", None, order["status"], order["status_at"], source, {})


def move(
    conn: sa.Connection,
    client_order_id: str,
    event: str,
    to: str,
    at: datetime,
    source: str,
    payload: Mapping[str, Any] | None = None,
    **values: Any,
) -> None:
    """T7, T8: an event of an order, the status it leads to, and other columns of its row."""
    before = conn.execute(sa.select(orders.c.status).where(orders.c.client_order_id == client_order_id)).scalar_one()
    changed = {**values, "status": to, **({"status_at": at} if to != before else {})}
    conn.execute(sa.update(orders).where(orders.c.client_order_id == client_order_id).values(changed))
    _log(conn, client_order_id, event, before, to, at, source, payload or {})


def checked(conn: sa.Connection, client_order_id: str, checks: int, at: datetime) -> None:
    """The platform was asked about an order, for the `checks`-th time."""
    here = orders.c.client_order_id == client_order_id
    conn.execute(sa.update(orders).where(here).values(checks=checks, checked_at=at))


def load(conn: sa.Connection, client_order_id: str) -> Row | None:
    """The row of an order, with reference_bid and reference_ask of its decision."""
    found = conn.execute(_with_decision().where(orders.c.client_order_id == client_order_id)).mappings().one_or_none()
    return None if found is None else dict(found)


def of_agent(conn: sa.Connection, agent_id: int, statuses: Collection[str] | None = None) -> list[Row]:
    """Orders of an agent in the order in which they were prepared; with `statuses` those alone."""
    query = _with_decision().where(orders.c.agent_id == agent_id)
    if statuses is not None:
        query = query.where(orders.c.status.in_(sorted(statuses)))
    query = query.order_by(orders.c.prepared_at, orders.c.client_order_id)
    return [dict(row) for row in conn.execute(query).mappings()]


def is_of_outcomes(conn: sa.Connection, market_id: str) -> bool:
    """Whether what was traded of a market, or is held of it, is YES or NO."""
    its = [sa.select(table.c.outcome).where(table.c.market_id == market_id) for table in (orders, positions)]
    found = sa.union(*its)
    return any(conn.scalars(found))


def sent_since(conn: sa.Connection, agent_id: int, since: datetime) -> list[datetime]:
    """When orders were sent that count for the daily limit: with a fill, or of which nobody knows."""
    c = orders.c
    here = sa.and_(c.agent_id == agent_id, c.first_sent_at >= since)
    rows = conn.execute(sa.select(c.first_sent_at, c.filled_quantity, c.status).where(here))
    return [sent for sent, filled, status in rows if filled > Decimal(0) or status in ("sending", "unknown", "open")]


def all_sent_since(conn: sa.Connection, agent_id: int, since: datetime) -> list[datetime]:
    """When orders were sent, whatever became of them, the oldest first."""
    c = orders.c
    query = sa.select(c.first_sent_at).where(c.agent_id == agent_id, c.first_sent_at >= since)
    return list(conn.scalars(query.order_by(c.first_sent_at)))


def _with_decision() -> sa.Select[Any]:
    d = decisions.c
    return sa.select(orders, d.reference_bid, d.reference_ask).outerjoin(
        decisions, d.decision_id == orders.c.decision_id
    )


def _log(
    conn: sa.Connection,
    client_order_id: str,
    event: str,
    before: str | None,
    to: str,
    at: datetime,
    source: str,
    payload: Mapping[str, Any],
) -> None:
    e = order_events.c
    newest = sa.select(sa.func.max(e.seq)).where(e.client_order_id == client_order_id)
    values = {"client_order_id": client_order_id, "seq": (conn.scalar(newest) or 0) + 1, "event": event}
    said = {"from_status": before, "to_status": to, "at": at, "source": source, "payload": plain_json(payload)}
    conn.execute(sa.insert(order_events).values({**values, **said}))
