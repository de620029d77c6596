"""Orders, fills, books and snapshots of a platform for the tests of reconciliation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.trading.ledger import filled_of
from agent.trading.model import Fill, Key, Movement, Order
from agent.trading.reconcile import booked_with, reconcile, summed_up
from agent.trading.reconcile.facts import (
    AdoptOrder,
    AdoptPosition,
    Ask,
    BookFill,
    BookMovement,
    Books,
    Cancel,
    Discrepancy,
    Holding,
    MoveOrder,
    PlatformOrder,
    Policy,
    SettleFill,
    Snapshot,
)
from agent.trading.states.machine import step
from agent.trading.states.orders import ORDER, client_order_id

D = Decimal
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY: Key = ("m", "")
OPENED = NOW - timedelta(days=10)
CASH = Movement(external_id="opening", kind="deposit", amount=D(10_000), ts=OPENED)
POLICY = Policy(dust=D("0.001"))
ID = client_order_id("d", "open", 0)


def order(status: str, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "client_order_id": ID,
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "purpose": "open",
        "type": "limit",
        "time_in_force": "gtc",
        "quantity": D(10),
        "limit_price": D(100),
        "status": status,
        "prepared_at": NOW - timedelta(seconds=61),
        "first_sent_at": NOW - timedelta(seconds=60),
        "checks": 5,
    }
    return Order(**values | changes)


def listed(status: str, filled: str = "0", **changes: Any) -> PlatformOrder:
    values: dict[str, Any] = {
        "client_order_id": ID,
        "platform_order_id": "p1",
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": D(10),
        "filled": D(filled),
        "status": status,
        "average": D(100) if D(filled) else None,
    }
    return PlatformOrder(**values | changes)


def fill(name: str, quantity: str, price: str = "100", **changes: Any) -> Fill:
    values: dict[str, Any] = {
        "fill_id": name,
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": D(quantity),
        "price": D(price),
        "fee": D(0),
        "ts": NOW - timedelta(seconds=30),
        "client_order_id": ID,
    }
    return Fill(**values | changes)


def books(*orders: Order, fills: tuple[Fill, ...] = (), **changes: Any) -> Books:
    """Books that began with 10 000, after these fills."""
    empty = Books(orders=orders, fills=fills, movements=(CASH,), equity=D(10_000), opened_at=OPENED)
    return replace(summed_up(empty), **changes)


def platform(*orders: PlatformOrder, held: str | None = "0", cash: str = "10000", **changes: Any) -> Snapshot:
    """A platform that holds so much of m, and cash."""
    values: dict[str, Any] = {
        "at": NOW,
        "orders": orders,
        "asked": frozenset({ID}),
        "holdings": None if held is None else {KEY: Holding(D(held), D(100))} if D(held) else {},
        "cash": D(cash),
        "mids": {KEY: D(101)},
    }
    return Snapshot(**values | changes)


def found(ours: Books, theirs: Snapshot, policy: Policy = POLICY) -> dict[int, Discrepancy]:
    return {one.case: one for one in reconcile(ours, theirs, policy)}


def applied(ours: Books, differences: tuple[Discrepancy, ...]) -> Books:
    """What the agent does with the acts, without a database."""
    after = booked_with(ours, differences)
    rows = {one.client_order_id: one for one in after.orders}
    for act in (act for one in differences for act in one.acts):
        match act:
            case MoveOrder(name, event, number):
                known = number if number is not None else rows[name].platform_order_id
                status = step(ORDER, rows[name].status, event).state
                rows[name] = replace(rows[name], status=status, platform_order_id=known)
            case AdoptOrder(one):
                assert one.client_order_id is not None
                rows[one.client_order_id] = order(
                    "cancelling", client_order_id=one.client_order_id, platform_order_id=one.platform_order_id
                )
            case _:
                assert isinstance(act, Ask | Cancel | BookFill | BookMovement | SettleFill | AdoptPosition)
    projected = tuple(replace(one, filled=filled_of(after.fills, one.client_order_id)[0]) for one in rows.values())
    return replace(after, orders=projected, opened_at=ours.opened_at or NOW)


def acts_of(differences: tuple[Discrepancy, ...]) -> list[Any]:
    return [act for one in differences for act in one.acts]


def status_after(ours: Books, theirs: Snapshot) -> str:
    return applied(ours, reconcile(ours, theirs, POLICY)).orders[0].status
