"""The simulation of version 0.1, bar by bar over rows: what the columns of modelling.simulation are compared with.

It knows spot markets of one interval alone: no payouts, no margin calls, no clocks of one's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from pipelines.costs import Costs
from pipelines.decision import Rules
from pipelines.sizing import entry_notional

GAP_FACTOR = 5


class Row(NamedTuple):
    """One bar of one market; `side` is what the decision rule would enter."""

    ts: int
    market: str
    start: int
    open: float
    close: float
    side: int
    strength: float


@dataclass
class Position:
    quantity: float
    price: float
    opened_at: int
    fee: float
    bars_left: int
    signal_at: int


@dataclass
class Book:
    costs: Costs
    limit: int  # microseconds without a bar after which a position is given up
    cash: float = 1.0
    equity: float = 1.0
    positions: dict[str, Position] = field(default_factory=dict)
    marks: dict[str, tuple[float, int]] = field(default_factory=dict)
    orders: dict[str, tuple[int, float, int]] = field(default_factory=dict)
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    trades: list[tuple[str, int, int, int, float, float, float]] = field(default_factory=list)

    def fill(self, quantity: float, price: float) -> tuple[float, float]:
        filled = price * (1 + (self.costs.slippage if quantity > 0 else -self.costs.slippage))
        fee = abs(quantity) * filled * self.costs.fee
        self.cash -= quantity * filled + fee
        return filled, fee

    def leave(self, market: str, price: float, at: int) -> None:
        position = self.positions.pop(market)
        filled, fee = self.fill(-position.quantity, price)
        pnl = position.quantity * (filled - position.price) - position.fee - fee
        side = 1 if position.quantity > 0 else -1
        self.trades.append((market, side, position.opened_at, at, position.price, filled, pnl))


def simulate_rows(rows: list[Row], rules: Rules, costs: Costs, spacing: int) -> Book:
    """`rows` sorted by (ts, market)."""
    book = Book(costs, GAP_FACTOR * rules.horizon_bars * spacing)
    for now, group in groupby(rows, key=lambda row: row.ts):
        bars = {row.market: row for row in group}
        due = {market: book.orders.pop(market) for market in bars if market in book.orders}
        for market, (wanted, _, _) in due.items():
            held = book.positions.get(market)
            if held is not None and (1 if held.quantity > 0 else -1) != wanted:
                book.leave(market, bars[market].open, bars[market].start)
        for market, (wanted, _, at) in sorted(due.items(), key=lambda item: (-item[1][1], item[0])):
            row = bars[market]
            is_free = market not in book.positions and len(book.positions) < rules.max_positions
            if not wanted or not is_free or not at <= row.start <= at + book.limit:
                continue
            exposure = sum(abs(p.quantity) * book.marks[m][0] for m, p in book.positions.items())
            cost = (1 + costs.slippage) * (1 + costs.fee) - 1
            notional = entry_notional(book.equity, book.cash, exposure, rules.weight, cost)
            if notional > 0:
                quantity = wanted * notional / row.open
                filled, fee = book.fill(quantity, row.open)
                book.positions[market] = Position(quantity, filled, row.start, fee, rules.horizon_bars, at)
                book.marks[market] = (row.open, row.start)
        for market, row in bars.items():
            book.marks[market] = (row.close, row.ts)
            if market in book.positions:
                book.positions[market].bars_left -= 1
        for market in sorted(book.positions):
            if now - book.marks[market][1] > book.limit:
                book.leave(market, book.marks[market][0], now)
                book.orders.pop(market, None)
        for market, row in bars.items():
            _decide(book, market, row, rules)
        book.equity = book.cash + sum(p.quantity * book.marks[m][0] for m, p in book.positions.items())
        book.curve.append((now, book.equity, book.cash))
    return book


def _decide(book: Book, market: str, row: Row, rules: Rules) -> None:
    position = book.positions.get(market)
    wanted = row.side if row.side == 1 or rules.allow_short else 0
    if position is None:
        if wanted:
            book.orders[market] = (wanted, row.strength, row.ts)
        return
    side = 1 if position.quantity > 0 else -1
    if row.side == side:
        position.bars_left = rules.horizon_bars
    elif row.side == -side or position.bars_left <= 0:
        book.orders[market] = (wanted, row.strength, row.ts)
