"""The paper platform: an account without money whose books are SQL tables of their own, filled from the project's bars.

It is a platform like any other: it is asked and answers, and knows nothing of the agent's tables. Time is its clock's,
so that the same platform replays history. Each question first fills what has become due.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import agent.store.trading.paper as store
from agent.amounts import less, times, total
from agent.clock import Clock
from agent.store.database.engine import Database, reading, writing
from agent.trading.feed import Bar, Feed, quote_of
from agent.trading.ledger import rebuilt
from agent.trading.model import ZERO, Fill, Instrument, Key, Movement, Order, Quote, movement_of
from agent.trading.platform import Accepted, Capabilities, Refused, Submitted
from agent.trading.platforms.filling import fill_of
from agent.trading.reconcile.facts import Holding, PlatformOrder, Snapshot

OPENING = "opening"
_PREFIX = "paper:"  # of order ids
_BEFORE = timedelta(seconds=1)  # the opening deposit goes before all that happens at the same moment


class PaperPlatform:
    """A paper account. It is opened with `cash` the first time."""

    name = "paper"
    capabilities = Capabilities(deduplicates=True, is_authoritative=True, is_at_once=True)

    def __init__(self, database: Database, account_ref: str, feed: Feed, clock: Clock, cash: Decimal) -> None:
        self.account_ref = account_ref
        self._database, self._feed, self._clock = database, feed, clock
        opening = {"external_id": OPENING, "kind": "deposit", "amount": cash, "reason": "opening"}
        with writing(database.project) as conn:
            if store.pay(conn, account_ref, {**opening, "ts": clock.now() - _BEFORE}):
                store.put_balance(conn, account_ref, store.CASH, cash)

    def instrument(self, market_id: str) -> Instrument:
        """What is known of a market."""
        return self._feed.listing(market_id).instrument

    def quote(self, market_id: str) -> Quote | None:
        """The quote at the end of the newest bar."""
        bar = self._feed.newest(market_id, self._clock.now())
        return None if bar is None else quote_of(self._feed.listing(market_id), bar)

    def submit(self, order: Order) -> Submitted:
        """Take an order; the same one again is the same order."""
        now = self._clock.now()
        listing = self._feed.listing(order.market_id)
        if listing.is_resolved(now):
            return Refused("market_resolved", f"{order.market_id} is resolved")
        row = {
            "client_order_id": order.client_order_id,
            "platform_order_id": f"{_PREFIX}{order.client_order_id}",
            "market_id": order.market_id,
            "outcome": order.outcome,
            "side": order.side,
            "quantity": order.quantity,
            "limit_price": order.limit_price,
            "status": "open",
            "placed_at": now,
            "looked_to": now,
        }
        with writing(self._database.project) as conn:
            placed = store.place(conn, self.account_ref, row)["platform_order_id"]
            sys.audit("tidemill.point", "paper.order.committing")
        return Accepted(placed)

    def cancel(self, client_order_id: str) -> bool:
        """Whether it no longer rests: nothing is unclear here."""
        self._fill_what_is_due()
        with writing(self._database.project) as conn:
            found = store.find(conn, self.account_ref, client_order_id)
            if found is not None and found["status"] == "open":
                store.change(conn, self.account_ref, client_order_id, status="cancelled")
        return True

    def cancel_external(self, platform_order_id: str) -> bool:
        """Whether it no longer rests, by our own id of it: nobody else trades here."""
        return self.cancel(platform_order_id.removeprefix(_PREFIX))

    def order(self, client_order_id: str) -> PlatformOrder | None:
        """An order by its client id."""
        self._fill_what_is_due()
        with reading(self._database.project) as conn:
            found = store.find(conn, self.account_ref, client_order_id)
        return None if found is None else _order(found)

    def fills(self, since: datetime | None) -> Sequence[Fill]:
        """Executions, the oldest first."""
        self._fill_what_is_due()
        with reading(self._database.project) as conn:
            return [_fill(row) for row in store.fills_of(conn, self.account_ref, since)]

    def movements(self, since: datetime | None) -> Sequence[Movement]:
        """Deposits and payouts."""
        self._fill_what_is_due()
        with reading(self._database.project) as conn:
            return [movement_of(row) for row in store.movements_of(conn, self.account_ref, since)]

    def snapshot(self, asked: Collection[str], since: datetime | None) -> Snapshot:
        """All of it: nothing is ever cut short here. With `since` only open orders and those that are asked for, and
        what is held and cash as they stand in the balances; without, as all fills and movements make them."""
        self._fill_what_is_due()
        with reading(self._database.project) as conn:
            rows = store.orders_of(conn, self.account_ref, only_open=since is not None)
            if since is not None:
                rows += [one for its in sorted(asked) if (one := store.find(conn, self.account_ref, its)) is not None]
            fills = [_fill(row) for row in store.fills_of(conn, self.account_ref, since)]
            movements = [movement_of(row) for row in store.movements_of(conn, self.account_ref, since)]
            balances = store.balances_of(conn, self.account_ref)
        cash = balances.pop(store.CASH, ZERO)
        held = {key: Holding(quantity) for key, quantity in balances.items()}
        if since is None:
            books = rebuilt(fills, movements)
            cash = books.cash
            held = {key: Holding(line.quantity, line.average) for key, line in books.lines.items() if line.quantity}
        return Snapshot(
            at=self._clock.now(),
            orders=tuple(_order(row) for row in {row["client_order_id"]: row for row in rows}.values()),
            asked=frozenset(asked),
            fills=tuple(fills),
            movements=tuple(movements),
            holdings=held,
            cash=cash,
            mids=dict(self._mids(held)),
            has_old_fills=since is None,
        )

    def _mids(self, held: Collection[Key]) -> list[tuple[Key, Decimal]]:
        found = []
        for key in held:
            quote = self.quote(key[0])
            mid = None if quote is None else (quote.no if key[1] == "no" else quote).mid
            if mid is not None:
                found.append((key, mid))
        return found

    def _fill_what_is_due(self) -> None:
        """Fill resting orders from bars that ended since, then pay out what was resolved."""
        now = self._clock.now()
        with writing(self._database.project) as conn:
            resting = store.orders_of(conn, self.account_ref, only_open=True)
            due = [(row, self._feed.bars(row["market_id"], row["looked_to"], now)) for row in resting]
            for row, bars in due:
                if bars:
                    self._fill_one(conn, row, bars)
            self._pay_out(conn, now)
            sys.audit("tidemill.point", "paper.fill.committing")

    def _fill_one(self, conn: Any, row: dict[str, Any], bars: Sequence[Bar]) -> None:
        held = store.balances_of(conn, self.account_ref)
        listing, filled, status = self._feed.listing(row["market_id"]), row["filled"], "open"
        for bar in bars:
            fill = fill_of(
                order=row["client_order_id"],
                outcome=row["outcome"],
                side=row["side"],
                rest=less(row["quantity"], filled),
                limit=row["limit_price"],
                bar=bar,
                listing=listing,
                cash=held.get(store.CASH, ZERO),
            )
            if fill is not None:
                store.add_fill(conn, self.account_ref, _fill_row(fill))
                self._hold(conn, held, fill)
                filled = total((filled, fill.quantity))
            if filled == row["quantity"]:
                status = "filled"
                break
        its = row["client_order_id"]
        store.change(conn, self.account_ref, its, filled=filled, status=status, looked_to=bars[-1].end)

    def _hold(self, conn: Any, held: dict[Key, Decimal], fill: Fill) -> None:
        """What a fill leaves of cash and of the holding."""
        signed = fill.quantity if fill.side == "buy" else fill.quantity.copy_negate()
        held[fill.key] = total((held.get(fill.key, ZERO), signed))
        held[store.CASH] = less(held.get(store.CASH, ZERO), times(signed, fill.price), fill.fee)
        for key in (fill.key, store.CASH):
            store.put_balance(conn, self.account_ref, key, held[key])

    def _pay_out(self, conn: Any, now: datetime) -> None:
        held = store.balances_of(conn, self.account_ref)
        for key, quantity in sorted(held.items()):
            pays = None if key == store.CASH else self._feed.listing(key[0]).pays(key[1], now)
            if pays is None:
                continue
            market, outcome = key
            amount = times(quantity, pays)
            paid = {"external_id": f"settlement:{market}:{outcome}", "kind": "settlement", "ts": now}
            what = {"amount": amount, "market_id": market, "outcome": outcome, "reason": "payout"}
            if store.pay(conn, self.account_ref, {**paid, **what}):
                held[store.CASH] = total((held.get(store.CASH, ZERO), amount))
                store.put_balance(conn, self.account_ref, store.CASH, held[store.CASH])
                store.put_balance(conn, self.account_ref, key, ZERO)
        for row in store.orders_of(conn, self.account_ref, only_open=True):
            if self._feed.listing(row["market_id"]).pays(row["outcome"], now) is not None:
                store.change(conn, self.account_ref, row["client_order_id"], status="cancelled")


def _order(row: dict[str, Any]) -> PlatformOrder:
    return PlatformOrder(
        client_order_id=row["client_order_id"],
        platform_order_id=row["platform_order_id"],
        market_id=row["market_id"],
        outcome=row["outcome"],
        side=row["side"],
        quantity=row["quantity"],
        filled=row["filled"],
        status=row["status"],
        limit_price=row["limit_price"],
    )


def _fill(row: dict[str, Any]) -> Fill:
    return Fill(**{name: value for name, value in row.items() if name != "account_ref"})


def _fill_row(fill: Fill) -> dict[str, Any]:
    names = ("fill_id", "client_order_id", "market_id", "outcome", "side", "quantity", "price", "fee", "ts")
    return {name: getattr(fill, name) for name in names}
