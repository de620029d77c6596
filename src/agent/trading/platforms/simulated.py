"""The simulation as a platform: it fills a trader's orders by the simulation's rules, and makes the size of an entry
itself, at the open, from the weights of the backtest. For `agent backtest-agent --like-simulation` alone: its state is
in memory, and whoever replays history moves it from one instant to the next.

Prices have no spread here: a quote is the close of the newest bar on both sides, by which the simulation values what it
holds. What a fill pays on top is the market's costs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agent.amounts import less, of_float, times, total
from agent.clock import Clock
from agent.trading.feed import Feed
from agent.trading.model import ZERO, Fill, Instrument, Key, Movement, Order, Outcome, Quote, Side
from agent.trading.platform import Accepted, Capabilities, Refused, Submitted
from agent.trading.platforms.simulated_account import Executed, SimulatedAccount
from agent.trading.reconcile.facts import Holding, PlatformOrder, Snapshot
from pipelines.decision import Rules
from pipelines.modelling.simulation import Piece

_PREFIX = "simulated:"  # of order ids
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Fills are dated behind the open, exits before entries: the books go by time.
EXITS_AFTER, ENTRIES_AFTER = timedelta(milliseconds=1), timedelta(milliseconds=2)


class SimulatedPlatform:
    """An account that begins with `cash`."""

    name = "paper"
    account_ref = "main"
    capabilities = Capabilities(deduplicates=True, is_authoritative=True, is_at_once=True)

    def __init__(self, piece: Piece, rules: Rules, feed: Feed, clock: Clock, cash: Decimal) -> None:
        self.account = SimulatedAccount(piece, rules, float(cash))
        self._feed, self._clock = feed, clock
        self._number = {name: number for number, name in enumerate(piece.names)}
        self._orders: dict[str, PlatformOrder] = {}
        self._waiting: dict[tuple[int, bool], str] = {}  # (market, whether it enters) -> client id
        self._fills: list[Fill] = []
        self.opens: dict[datetime, datetime] = {}  # time of a fill -> the open that it is of
        self._held: dict[Key, Decimal] = {}
        first = self.next_end() or self._clock.now()
        opening = Movement(external_id="opening", kind="deposit", amount=cash, ts=first - timedelta(seconds=1))
        self._movements = [opening]

    def next_end(self) -> datetime | None:
        """When the next bar ends, or the next market pays."""
        return _moment_if(self.account.next_end())

    def next_open(self) -> datetime | None:
        """When the next bar begins."""
        return _moment_if(self.account.next_open())

    def close(self, at: datetime) -> list[Fill]:
        """What the next end brings, which is `at`; returns fills that the simulation makes without an order: of markets
        that fell silent, and of a ruined account."""
        own = []
        for one in self.account.close():
            if one.is_paid:
                self._pay(one, at)
            else:
                fill = self._left(one, at)
                if fill.client_order_id is None:
                    own.append(fill)
        for market, is_entry in list(self._waiting):
            if self.account.is_over(market):
                self.account.withdraw(market, is_entry=is_entry)
                self._end(market, is_entry, "cancelled")
        return own

    def fill_exits(self, at: datetime) -> list[Fill]:
        """Exits at the next open, which is `at`."""
        self.opens[at + EXITS_AFTER] = at
        return [self._left(one, at + EXITS_AFTER) for one in self.account.exits()]

    def fill_entries(self, at: datetime) -> bool:
        """Entries at the next open, as many as there is room for, the strongest first; the others are cancelled.
        Whether there were any."""
        entered, dropped = self.account.entries()
        for one in entered:
            key, quantity = self._key(one), of_float(one.quantity)
            self.opens[at + ENTRIES_AFTER] = at
            its = self._end(one.market, True, "cancelled", quantity)  # more was asked for than there is room for
            is_bought = one.side > 0 or bool(key[1])
            self._held[key] = quantity if is_bought else quantity.copy_negate()
            self._book(one, key, "buy" if is_bought else "sell", quantity, at + ENTRIES_AFTER, its)
        for market in dropped:
            self._end(market, True, "cancelled")
        return bool(entered or dropped)

    def instrument(self, market_id: str) -> Instrument:
        """What is known of a market."""
        return self._feed.listing(market_id).instrument

    def quote(self, market_id: str) -> Quote | None:
        """The close of the newest bar, on both sides."""
        bar, listing = self._feed.newest(market_id, self._clock.now()), self._feed.listing(market_id)
        if bar is None:
            return None
        price, is_open = bar.close, not listing.is_resolved(bar.end)
        return Quote(
            market_id=market_id, ts=bar.end, bid=price, ask=price, last=price, last_ts=bar.end, is_open=is_open
        )

    def submit(self, order: Order) -> Submitted:
        """Take an order; the same one again is the same order."""
        its, market = order.client_order_id, self._number[order.market_id]
        known = self._orders.get(its)
        if known is not None:
            return Accepted(known.platform_order_id)
        if self.account.is_ruined or self.account.is_over(market):
            why = "the account is ruined" if self.account.is_ruined else f"{order.market_id} is resolved"
            return Refused("not_traded", why)
        now, is_entry = self._clock.now(), not order.reduce_only
        if is_entry:
            side = (1 if order.side == "buy" else -1) * (-1 if order.outcome == "no" else 1)
            said = self._feed.published(order.market_id, now)
            self.account.enter(market, side, _micros(now), 0.0 if said is None else said.net_edge)
        else:
            self.account.leave(market)
        self._waiting[market, is_entry] = its
        self._orders[its] = PlatformOrder(
            client_order_id=its,
            platform_order_id=f"{_PREFIX}{its}",
            market_id=order.market_id,
            outcome=order.outcome,
            side=order.side,
            quantity=order.quantity,
            filled=ZERO,
            status="open",
        )
        return Accepted(self._orders[its].platform_order_id)

    def cancel(self, client_order_id: str) -> bool:
        """Take an order back."""
        for (market, is_entry), its in list(self._waiting.items()):
            if its == client_order_id:
                self.account.withdraw(market, is_entry=is_entry)
                self._end(market, is_entry, "cancelled")
        return True

    def cancel_external(self, platform_order_id: str) -> bool:
        """The same by the simulation's id."""
        return self.cancel(platform_order_id.removeprefix(_PREFIX))

    def order(self, client_order_id: str) -> PlatformOrder | None:
        """An order by its client id."""
        return self._orders.get(client_order_id)

    def fills(self, since: datetime | None) -> Sequence[Fill]:
        """Executions, the oldest first."""
        found = []
        for fill in reversed(self._fills):
            if since is not None and fill.ts < since:
                break
            found.append(fill)
        return found[::-1]

    def movements(self, since: datetime | None) -> Sequence[Movement]:
        """The deposit, and payouts."""
        return [one for one in self._movements if since is None or one.ts >= since]

    def snapshot(self, asked: Collection[str], since: datetime | None) -> Snapshot:
        """All of it."""
        paid = total(one.amount for one in self._movements)
        bought, sold = (
            total(times(one.quantity, one.price) for one in self._fills if one.side == side) for side in ("buy", "sell")
        )
        fees = total(one.fee for one in self._fills)
        return Snapshot(
            at=self._clock.now(),
            orders=tuple(self._orders.values()),
            asked=frozenset(asked),
            fills=tuple(self.fills(since)),
            movements=tuple(self.movements(since)),
            holdings={key: Holding(quantity) for key, quantity in self._held.items()},
            cash=less(total((paid, sold)), bought, fees),
            has_old_fills=True,
        )

    def _key(self, one: Executed) -> Key:
        market = self.account.names[one.market]
        if not self._feed.listing(market).instrument.is_binary:
            return market, ""
        return market, "yes" if one.side > 0 else "no"

    def _left(self, one: Executed, ts: datetime) -> Fill:
        """What was closed, wholly: by an order where one waits, else by the simulation itself."""
        key = self._key(one)
        held = self._held.pop(key)
        quantity = held.copy_abs()
        its = self._end(one.market, False, "filled", quantity)
        return self._book(one, key, "sell" if held > 0 else "buy", quantity, ts, its)

    def _book(self, one: Executed, key: Key, side: Side, quantity: Decimal, ts: datetime, its: str | None) -> Fill:
        fill = Fill(
            fill_id=f"{ts:%Y%m%dT%H%M%S.%f}:{key[0]}:{key[1]}",
            market_id=key[0],
            outcome=key[1],  # type: ignore[arg-type]  # one of ours
            side=side,
            quantity=quantity,
            price=of_float(one.price),
            fee=of_float(one.fee),
            ts=ts,
            client_order_id=its,
        )
        self._fills.append(fill)
        return fill

    def _pay(self, one: Executed, ts: datetime) -> None:
        key = self._key(one)
        quantity = self._held.pop(key)
        outcome: Outcome = key[1]  # type: ignore[assignment]  # one of ours
        amount, its = times(quantity, of_float(one.price)), f"settlement:{key[0]}:{key[1]}"
        self._movements.append(
            Movement(external_id=its, kind="settlement", amount=amount, ts=ts, market_id=key[0], outcome=outcome)
        )

    def _end(self, market: int, is_entry: bool, status: str, filled: Decimal = ZERO) -> str | None:
        """An order that waits no more; its client id."""
        its = self._waiting.pop((market, is_entry), None)
        if its is not None:
            changed = replace(self._orders[its], status=status, filled=filled)  # type: ignore[arg-type]  # a status
            self._orders[its] = changed
        return its


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(micros: int) -> datetime:
    """An instant of the simulation, in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=int(micros))


def _moment_if(micros: int | None) -> datetime | None:
    return None if micros is None else moment_of(micros)
