"""A venue's account: orders by client id, fills, positions and cash, matched against quotes that a test sets.

It keeps its own books by its own arithmetic, so that a trader's are compared with something else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.amounts import less, parsed, plain, times, total
from agent.trading.model import ZERO, Instrument
from pipelines.values import dataclass

Body = dict[str, Any]
Reply = tuple[int, Body]  # HTTP status, JSON


@dataclass
class Placed:
    """An order as the venue has it. listed_at: from when on it is found and listed."""

    order_id: str
    client_order_id: str
    market: str
    outcome: str
    side: str
    quantity: Decimal
    limit: Decimal | None
    listed_at: datetime
    filled: Decimal = ZERO
    worth: Decimal = ZERO
    status: str = "open"

    def shown(self) -> Body:
        """As JSON."""
        average = plain(self.worth / self.filled) if self.filled else None
        return {
            "order_id": self.order_id,
            "client_order_id": self.client_order_id,
            "market": self.market,
            "outcome": self.outcome,
            "side": self.side,
            "quantity": plain(self.quantity),
            "limit_price": None if self.limit is None else plain(self.limit),
            "filled": plain(self.filled),
            "average": average,
            "status": self.status,
        }


@dataclass
class Venue:
    """One account. name: what its order ids begin with. now: its clock. part: how much of an order fills when it is
    placed, of its quantity; the rest waits for `fill`. lists_after: seconds until a new order is found. deduplicates:
    the same client id again is the same order. refuses: code of a refusal, for every order. is_cut: lists come without
    their last row, and say how many there are."""

    now: Callable[[], datetime]
    cash: Decimal = Decimal(10_000)
    fee_rate: Decimal = Decimal("0.001")
    part: Decimal = Decimal(1)
    lists_after: float = 0.0
    deduplicates: bool = False
    refuses: str | None = None
    is_cut: bool = False
    is_open: bool = True
    name: str = "v"
    quotes: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    orders: list[Placed] = field(default_factory=list)
    fills: list[Body] = field(default_factory=list)
    movements: list[Body] = field(default_factory=list)
    holdings: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        opened = self.now() - timedelta(seconds=1)
        self._move_cash("opening", "deposit", self.cash, opened)

    # --- what a client asks --------------------------------------------------------------------------------------

    def place(self, asked: Body) -> Reply:
        """POST /orders."""
        with self.lock:
            its = asked["client_order_id"]
            known = self.find(its)
            if known is not None and self.deduplicates:
                return 200, known.shown()
            code = self._refusal(asked)
            if code is not None:
                return 422, {"code": code, "text": f"the order is not taken: {code}"}
            made = Placed(
                order_id=f"{self.name}-{len(self.orders) + 1}",
                client_order_id=its,
                market=asked["market"],
                outcome=asked["outcome"],
                side=asked["side"],
                quantity=parsed(asked["quantity"]),
                limit=None if asked["limit_price"] is None else parsed(asked["limit_price"]),
                listed_at=self.now() + timedelta(seconds=self.lists_after),
            )
            self.orders.append(made)
            at_once = times(made.quantity, self.part)
            if at_once:
                self.fill(its, at_once)
            return 200, made.shown()

    def cancel(self, its: str) -> Reply:
        """DELETE /orders/ID, ours or the client's."""
        with self.lock:
            named = next((one.client_order_id for one in self.orders if one.order_id == its), its)
            known = self._listed(named)
            if known is None:
                return 404, {"code": "order_not_found", "text": "no such order"}
            if known.status != "open":
                return 409, {"code": "not_open", "text": f"the order is {known.status}"}
            known.status = "cancelled"
            return 200, known.shown()

    def one(self, client_order_id: str) -> Reply:
        """GET /orders/ID."""
        with self.lock:
            known = self._listed(client_order_id)
            return (
                (404, {"code": "order_not_found", "text": "no such order"}) if known is None else (200, known.shown())
            )

    def open_orders(self) -> Reply:
        """GET /orders: those that rest."""
        with self.lock:
            now = self.now()
            rows = [one.shown() for one in self.orders if one.status == "open" and one.listed_at <= now]
        return self._list(rows)

    def fills_since(self, since: datetime | None) -> Reply:
        """GET /fills."""
        with self.lock:
            rows = _from(self.fills, since)
        return self._list(rows)

    def positions(self) -> Reply:
        """GET /positions."""
        with self.lock:
            rows: list[Body] = [
                {"market": market, "outcome": outcome, "quantity": plain(quantity)}
                for (market, outcome), quantity in sorted(self.holdings.items())
                if quantity
            ]
        return self._list(rows)

    def account(self, since: datetime | None) -> Reply:
        """GET /account."""
        with self.lock:
            return 200, {"cash": plain(self.cash), "movements": _from(self.movements, since)}

    def quote(self, market: str) -> Reply:
        """GET /quotes/MARKET."""
        with self.lock:
            if market not in self.quotes:
                return 404, {"code": "market_not_found", "text": "no such market"}
            bid, ask = self.quotes[market]
            at = self.now().isoformat()
            return 200, {"bid": plain(bid), "ask": plain(ask), "ts": at, "is_open": self.is_open}

    # --- what a test does ----------------------------------------------------------------------------------------

    def find(self, client_order_id: str) -> Placed | None:
        """The first order with this client id."""
        return next((one for one in self.orders if one.client_order_id == client_order_id), None)

    def fill(self, client_order_id: str, quantity: Decimal | None = None) -> Body:
        """Execute an order at the quote, in whatever state it is: venues do. quantity: the rest by default."""
        with self.lock:
            order = self.find(client_order_id)
            assert order is not None, f"{client_order_id} was never placed"
            bid, ask = self.quotes[order.market]
            amount = less(order.quantity, order.filled) if quantity is None else quantity
            price = ask if order.side == "buy" else bid
            notional = times(amount, price)
            fee = times(notional, self.fee_rate)
            order.filled, order.worth = total((order.filled, amount)), total((order.worth, notional))
            if order.status == "open" and order.filled >= order.quantity:
                order.status = "filled"
            key = (order.market, order.outcome)
            signed = amount if order.side == "buy" else amount.copy_negate()
            self.holdings[key] = total((self.holdings.get(key, ZERO), signed))
            self.cash = less(self.cash, notional if order.side == "buy" else notional.copy_negate(), fee)
            made = {
                "fill_id": f"f{len(self.fills) + 1}",
                "order_id": order.order_id,
                "client_order_id": order.client_order_id,
                "market": order.market,
                "outcome": order.outcome,
                "side": order.side,
                "quantity": plain(amount),
                "price": plain(price),
                "fee": plain(fee),
                "ts": self.now().isoformat(),
            }
            self.fills.append(made)
            return made

    def deposit(self, name: str, amount: Decimal) -> None:
        """Cash that comes, or goes (below 0)."""
        with self.lock:
            self.cash = total((self.cash, amount))
            self._move_cash(name, "deposit" if amount > 0 else "withdrawal", amount, self.now())

    # --- inside --------------------------------------------------------------------------------------------------

    def _refusal(self, asked: Body) -> str | None:
        if self.refuses is not None:
            return self.refuses
        if asked["market"] not in self.quotes:
            return "market_not_found"
        if not self.is_open:
            return "market_closed"
        if asked["side"] == "buy":
            cost = times(parsed(asked["quantity"]), self.quotes[asked["market"]][1])
            return "insufficient_funds" if total((cost, times(cost, self.fee_rate))) > self.cash else None
        return None

    def _listed(self, client_order_id: str) -> Placed | None:
        known = self.find(client_order_id)
        return known if known is not None and known.listed_at <= self.now() else None

    def _list(self, rows: list[Body]) -> Reply:
        return 200, {"rows": rows[:-1] if self.is_cut else rows, "total": len(rows)}

    def _move_cash(self, name: str, kind: str, amount: Decimal, at: datetime) -> None:
        self.movements.append({"id": name, "kind": kind, "amount": plain(amount), "ts": at.isoformat()})


def _from(rows: list[Body], since: datetime | None) -> list[Body]:
    return [one for one in rows if since is None or datetime.fromisoformat(one["ts"]) >= since]
