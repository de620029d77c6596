"""An account whose orders somebody else gives, and whose books and fills are the simulation's: floats, markets by
number.

It is the loop of `pipelines.modelling.kernel` taken apart: what a bar's end brings, what the next open fills of exits,
and of entries, each with the kernel's own functions, so that only who decides is another.
"""

from __future__ import annotations

from typing import NamedTuple

from pipelines.costs import unit_fee
from pipelines.decision import Rules
from pipelines.modelling.kernel import (
    CASH,
    EQUITY,
    HELD,
    IS_RUINED,
    PAYOUT,
    RESOLVED,
    RUINED,
    TRADES,
    fill_orders,
    give_up_silent,
    pay_out,
    record,
)
from pipelines.modelling.simulation import Piece, empty_curve, empty_trades, listed, restored


class Executed(NamedTuple):
    """What became of a market. side: of the position, as in the simulation. is_paid: `price` is what the market paid
    for one contract, without a fill."""

    market: int
    side: int
    price: float
    quantity: float
    fee: float
    is_paid: bool = False


class _Entry(NamedTuple):
    side: int
    at: int
    strength: float


class SimulatedAccount:
    """Begins with `cash`. Each instant of `piece` in turn: `close`, orders, `exits`, orders, `entries`."""

    def __init__(self, piece: Piece, rules: Rules, cash: float) -> None:
        self.names = piece.names
        self._closes, self._opens, self._markets = map(listed, (piece.closes, piece.opens, piece.markets))
        self._rules = rules
        self._book = listed(restored(None, piece.names))
        self._book.sums[CASH] = self._book.sums[EQUITY] = cash
        self._curve, self._closed = listed(empty_curve(1)), listed(empty_trades(2 * len(piece.names)))
        self._candidates = [0] * len(piece.names)
        self._leaving: set[int] = set()
        self._entering: dict[int, _Entry] = {}
        self._row = self._first = 0

    @property
    def cash(self) -> float:
        """Money that is not bound."""
        return float(self._book.sums[CASH])

    @property
    def is_ruined(self) -> bool:
        """Whether nothing is left to trade with."""
        return bool(self._book.counts[IS_RUINED])

    def next_end(self) -> int | None:
        """When the next bar ends, or the next payout comes (microseconds)."""
        return self._closes.at[self._row] if self._row < len(self._closes.at) else None

    def next_open(self) -> int | None:
        """When the next bar begins."""
        return self._opens.at[self._first] if self._first < len(self._opens.at) else None

    def is_over(self, market: int) -> bool:
        """Whether a market is resolved."""
        return bool(self._book.is_over[market])

    def leave(self, market: int) -> None:
        """Order the exit from a market."""
        self._leaving.add(market)

    def enter(self, market: int, side: int, at: int, strength: float) -> None:
        """Order an entry. `strength`: the strongest ones go first where positions or money are short."""
        self._entering[market] = _Entry(side, at, strength)

    def withdraw(self, market: int, *, is_entry: bool) -> None:
        """Take an order back."""
        if is_entry:
            self._entering.pop(market, None)
        else:
            self._leaving.discard(market)

    def close(self) -> list[Executed]:
        """The next end: prices, payouts, what is given up, ruin; returns what was closed without an order of ours."""
        book, closes, now = self._book, self._closes, self._closes.at[self._row]
        while self._row < len(closes.at) and closes.at[self._row] == now:
            market, price = closes.market[self._row], closes.price[self._row]
            book.mark[market], book.marked_at[market] = price, now
            if closes.side[self._row] == PAYOUT:
                pay_out(book, self._closed, self._markets, market, price, now)
            self._row += 1
        if book.counts[HELD] > 0:
            give_up_silent(now, self._markets, book, self._closed)
        record(now, self._markets, book, self._closed, self._curve, 0)
        return self._left()

    def exits(self) -> list[Executed]:
        """Fill exits at the next open: those ordered, and what a margin call asks for."""
        rows = self._rows()
        due = [m for m in self._here(rows) if m in self._leaving or self._book.order[m]]
        if not due:
            return []
        for market in due:
            self._leaving.discard(market)
            self._book.order[market] = self._book.order[market] or 1
            self._book.order_side[market] = 0
        self._fill(rows)
        return self._left()

    def entries(self) -> tuple[list[Executed], list[int]]:
        """Fill entries at the next open, which is over with it; returns them, and the markets that got none."""
        rows, book = self._rows(), self._book
        due = [market for market in self._here(rows) if market in self._entering]
        for market in due:
            one = self._entering.pop(market)
            book.order[market], book.order_side[market], book.order_at[market] = 1, one.side, one.at
            book.order_until[market] = one.at + self._markets.patience[market]
            book.strength[market] = one.strength
        if due:
            self._fill(rows)
        self._first = rows.stop
        entered = [m for m in due if book.side[m]]
        found = [Executed(m, book.side[m], book.entry_price[m], book.quantity[m], book.entry_fee[m]) for m in entered]
        return found, [market for market in due if not book.side[market]]

    def _rows(self) -> range:
        """The rows of `opens` at the next open."""
        at, last = self._opens.at, self._first
        while last < len(at) and at[last] == at[self._first]:
            last += 1
        return range(self._first, last)

    def _here(self, rows: range) -> list[int]:
        return [self._opens.market[row] for row in rows]

    def _fill(self, rows: range) -> None:
        limits = (self._rules.max_positions, self._rules.weight)
        columns = (self._markets, self._book, self._closed, self._candidates)
        fill_orders(self._opens, rows.start, rows.stop, *columns, *limits)

    def _left(self) -> list[Executed]:
        """What was closed since the last time."""
        closed, found = self._closed, []
        for number in range(self._book.counts[TRADES]):
            market, price, reason = closed.market[number], closed.exit_price[number], closed.reason[number]
            self._leaving.discard(market)
            has_fee = reason not in (RESOLVED, RUINED)
            rate, binary = self._markets.fee[market], self._markets.is_binary[market]
            fee = closed.quantity[number] * unit_fee(price, rate, binary) if has_fee else 0.0
            quantity, side = closed.quantity[number], closed.side[number]
            found.append(Executed(market, side, price, quantity, fee, is_paid=reason == RESOLVED))
        self._book.counts[TRADES] = 0
        return found
