"""What the paper platform keeps, in SQL: orders, fills and cash of an account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from agent.store.database.engine import insert
from agent.store.paper_tables import paper_balances, paper_fills, paper_movements, paper_orders

Row = dict[str, Any]
CASH = ("", "")  # its key among the balances


def pay(conn: sa.Connection, account: str, movement: Mapping[str, Any]) -> bool:
    """Book cash, once for each external_id. False where it is on record already."""
    new = insert(conn, paper_movements).values({**movement, "account_ref": account})
    new = new.on_conflict_do_nothing(index_elements=["account_ref", "external_id"])
    return conn.execute(new.returning(paper_movements.c.external_id)).one_or_none() is not None


def balances_of(conn: sa.Connection, account: str) -> dict[tuple[str, str], Decimal]:
    """What an account holds: (market, outcome) -> units, CASH -> money. What became 0 is left out."""
    c = paper_balances.c
    rows = conn.execute(sa.select(c.market_id, c.outcome, c.amount).where(c.account_ref == account))
    return {(market, outcome): amount for market, outcome, amount in rows if amount}


def put_balance(conn: sa.Connection, account: str, key: tuple[str, str], amount: Decimal) -> None:
    """Write what an account holds of `key`."""
    new = insert(conn, paper_balances).values(account_ref=account, market_id=key[0], outcome=key[1], amount=amount)
    keys = ["account_ref", "market_id", "outcome"]
    conn.execute(new.on_conflict_do_update(index_elements=keys, set_={"amount": new.excluded.amount}))


def place(conn: sa.Connection, account: str, order: Mapping[str, Any]) -> Row:
    """Take an order (columns of `paper_orders`); sent again it is the same order, and the first one is returned."""
    new = insert(conn, paper_orders).values({**order, "account_ref": account})
    conn.execute(new.on_conflict_do_nothing(index_elements=["account_ref", "client_order_id"]))
    found = find(conn, account, order["client_order_id"])
    assert found is not None, "it was just placed"
    return found


def find(conn: sa.Connection, account: str, client_order_id: str) -> Row | None:
    """An order by its client id."""
    c = paper_orders.c
    here = sa.and_(c.account_ref == account, c.client_order_id == client_order_id)
    row = conn.execute(sa.select(paper_orders).where(here)).mappings().one_or_none()
    return None if row is None else dict(row)


def orders_of(conn: sa.Connection, account: str, *, only_open: bool = False) -> list[Row]:
    """Orders in the order in which they were placed."""
    c = paper_orders.c
    here = sa.and_(c.account_ref == account, c.status == "open") if only_open else c.account_ref == account
    query = sa.select(paper_orders).where(here).order_by(c.placed_at, c.client_order_id)
    return [dict(row) for row in conn.execute(query).mappings()]


def change(conn: sa.Connection, account: str, client_order_id: str, **values: Any) -> None:
    """Write columns of an order."""
    c = paper_orders.c
    here = sa.and_(c.account_ref == account, c.client_order_id == client_order_id)
    conn.execute(sa.update(paper_orders).where(here).values(values))


def add_fill(conn: sa.Connection, account: str, fill: Mapping[str, Any]) -> None:
    """Book an execution (columns of `paper_fills`), once for each fill_id."""
    new = insert(conn, paper_fills).values({**fill, "account_ref": account})
    conn.execute(new.on_conflict_do_nothing(index_elements=["account_ref", "fill_id"]))


def fills_of(conn: sa.Connection, account: str, since: datetime | None = None) -> list[Row]:
    """Executions in the order of their time; `since`: at or after it alone."""
    c = paper_fills.c
    here = c.account_ref == account if since is None else sa.and_(c.account_ref == account, c.ts >= since)
    query = sa.select(paper_fills).where(here).order_by(c.ts, c.fill_id)
    return [dict(row) for row in conn.execute(query).mappings()]


def movements_of(conn: sa.Connection, account: str, since: datetime | None = None) -> list[Row]:
    """Cash that came and went beside fills, in the order of its time; `since`: at or after it alone."""
    c = paper_movements.c
    here = c.account_ref == account if since is None else sa.and_(c.account_ref == account, c.ts >= since)
    query = sa.select(paper_movements).where(here).order_by(c.ts, c.external_id)
    return [dict(row) for row in conn.execute(query).mappings()]
