"""Trading bar by bar: a model's signals, buy-and-hold, and random entries of the same turnover. Pure.

All three start with equity 1 and hold a state that can be written down between two bars, so that a history can be
simulated in pieces: the state after one piece is all the next one needs. What is known at a bar's `ts` trades at the
open of the market's next bar. Short positions pay no borrowing fee; cash earns nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from pipelines.costs import Costs
from pipelines.modelling.labels import GAP_FACTOR
from pipelines.sizing import entry_notional, position_weight

_SECOND = 1_000_000


class Quote(NamedTuple):
    """One bar of one market. Times are microseconds since the epoch: `ts` when the bar is known, `start` its open.

    spacing_seconds: how far apart the market's bars usually are. side: 1 or -1 where the signal made at `ts` lies
    beyond the margin, else 0. strength: how far from the base rate.
    """

    ts: int
    market: str
    start: int
    open: float
    close: float
    spacing_seconds: int
    side: int
    strength: float


class CurvePoint(NamedTuple):
    """A strategy at one bar time: `traded` notional and `costs` (fees, slippage) since the point before."""

    ts: int
    equity: float
    cash: float
    exposure: float
    traded: float
    costs: float


class Trade(NamedTuple):
    """A closed position. `pnl` is net of `costs` (fees and slippage of both fills); prices are those of the fills.

    signal_at: when the signal was known that it was entered on, never later than `entry_at`; None where no signal was.
    """

    market_id: str
    side: int
    signal_at: int | None
    entry_at: int
    exit_at: int
    quantity: float
    entry_price: float
    exit_price: float
    costs: float
    pnl: float
    trade_return: float
    bars_held: int
    reason: str


class Event(NamedTuple):
    """A fill of the model that the random baseline repeats elsewhere: side 0 is an exit, `weight` the entry's notional
    as a fraction of equity."""

    side: int
    weight: float


@dataclass(frozen=True)
class Rules:
    """How signals are traded. start: first bar time (microseconds) at which anything is decided."""

    horizon_bars: int
    allow_short: bool
    max_positions: int
    max_weight: float
    costs: Costs
    seed: int
    start: int


@dataclass
class Position:
    """A holding: signed quantity, average fill price, fees paid on entry, and slippage paid on entry."""

    quantity: float
    price: float
    opened_at: int
    fee: float
    slippage: float
    bars_left: int
    bars_held: int = 0
    signal_at: int | None = None

    @property
    def side(self) -> int:
        return 1 if self.quantity > 0 else -1


@dataclass
class Mark:
    """A market's newest close, when it was known, and how far apart its bars usually are."""

    price: float
    ts: int
    spacing_seconds: int


@dataclass
class Order:
    """What to be in at the next open: side 1 or -1, or 0 for out. Known `at`; an entry lapses at `until`."""

    side: int
    strength: float
    at: int
    until: int


@dataclass
class Book:
    """Cash, positions and marks of one strategy; cash + positions at mark = equity, always."""

    costs: Costs
    cash: float = 1.0
    equity: float = 1.0  # at the last bar time
    positions: dict[str, Position] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    curve: list[CurvePoint] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    traded: float = 0.0
    paid: float = 0.0

    def state(self) -> dict[str, Any]:
        """All that the next piece of history needs, as plain values.

        vars, not asdict, which copies deeply: with 2000 markets that took more than half of the whole backtest.
        """
        return {
            "cash": self.cash,
            "equity": self.equity,
            "positions": {market: dict(vars(position)) for market, position in self.positions.items()},
            "marks": {market: dict(vars(mark)) for market, mark in self.marks.items()},
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None, costs: Costs) -> Book:
        """The book that `state()` described; a new one for None."""
        if state is None:
            return cls(costs)
        return cls(
            costs,
            cash=state["cash"],
            equity=state["equity"],
            positions={market: Position(**values) for market, values in state["positions"].items()},
            marks={market: Mark(**values) for market, values in state["marks"].items()},
        )

    @property
    def exposure(self) -> float:
        """Sum of absolute notionals at mark."""
        return sum(abs(p.quantity) * self.marks[market].price for market, p in self.positions.items())

    def fill(self, quantity: float, price: float) -> tuple[float, float, float]:
        """Pay for `quantity` (signed) while the market shows `price`. Returns fill price, fee and slippage."""
        filled = self.costs.fill_price(price, quantity)
        fee, slippage = self.costs.fee(quantity, filled), abs(quantity) * abs(filled - price)
        self.cash -= quantity * filled + fee
        self.traded += abs(quantity) * filled
        self.paid += fee + slippage
        return filled, fee, slippage

    def enter(self, quote: Quote, quantity: float, bars_left: int, signal_at: int | None = None) -> None:
        """Open a position at the bar's open."""
        filled, fee, slippage = self.fill(quantity, quote.open)
        position = Position(quantity, filled, quote.start, fee, slippage, bars_left, signal_at=signal_at)
        self.positions[quote.market] = position
        self.marks[quote.market] = Mark(quote.open, quote.start, quote.spacing_seconds)

    def leave(self, market: str, price: float, at: int, reason: str) -> None:
        """Close a position at `price` and write the trade down."""
        position = self.positions.pop(market)
        filled, fee, slippage = self.fill(-position.quantity, price)
        pnl = position.quantity * (filled - position.price) - position.fee - fee
        self.trades.append(
            Trade(
                market_id=market,
                side=position.side,
                signal_at=position.signal_at,
                entry_at=position.opened_at,
                exit_at=at,
                quantity=abs(position.quantity),
                entry_price=position.price,
                exit_price=filled,
                costs=position.fee + position.slippage + fee + slippage,
                pnl=pnl,
                trade_return=pnl / (abs(position.quantity) * position.price),
                bars_held=position.bars_held,
                reason=reason,
            )
        )

    def see(self, quotes: Mapping[str, Quote]) -> None:
        """Take in the bars that are now known."""
        for market, quote in quotes.items():
            self.marks[market] = Mark(quote.close, quote.ts, quote.spacing_seconds)
            position = self.positions.get(market)
            if position is not None:
                position.bars_left -= 1
                position.bars_held += 1

    def silent(self, now: int, horizon_bars: int) -> list[str]:
        """Markets held that have shown no bar for longer than the horizon may take: delisted, or settled."""
        return [
            market
            for market in sorted(self.positions)
            if now - self.marks[market].ts > GAP_FACTOR * horizon_bars * self.marks[market].spacing_seconds * _SECOND
        ]

    def record(self, now: int) -> None:
        """Value everything at its mark and add a point to the curve."""
        self.equity = self.cash + sum(p.quantity * self.marks[market].price for market, p in self.positions.items())
        self.curve.append(CurvePoint(now, self.equity, self.cash, self.exposure, self.traded, self.paid))
        self.traded = self.paid = 0.0


@dataclass
class Segment:
    """What a stretch of bars led to: curves and trades of each strategy, and the state to go on from."""

    curves: dict[str, list[CurvePoint]]
    trades: dict[str, list[Trade]]
    state: dict[str, Any]


def simulate(quotes: Sequence[Quote], state: Mapping[str, Any], rules: Rules, key: str) -> Segment:
    """Trade `quotes`, sorted by time and market, from `state` ({} at the start). `key` seeds the random entries."""
    model = Book.restored(state.get("model"), rules.costs)
    orders = {market: Order(**values) for market, values in state.get("orders", {}).items()}
    events = _trade_signals(model, orders, quotes, rules)
    holder = Book.restored(state.get("buy_and_hold"), rules.costs)
    _buy_and_hold(holder, quotes, rules)
    chance = Book.restored(state.get("random_entry"), rules.costs)
    backlog = [Event(*values) for values in state.get("backlog", [])]
    backlog = _enter_at_random(chance, backlog, events, quotes, rules, key)
    books = {"model": model, "buy_and_hold": holder, "random_entry": chance}
    return Segment(
        curves={name: book.curve for name, book in books.items()},
        trades={name: book.trades for name, book in books.items()},
        state={
            **{name: book.state() for name, book in books.items()},
            "orders": {market: dict(vars(order)) for market, order in orders.items()},
            "backlog": [list(event) for event in backlog],
        },
    )


def _by_time(quotes: Iterable[Quote]) -> Iterator[tuple[int, dict[str, Quote]]]:
    for now, group in groupby(quotes, key=lambda quote: quote.ts):
        yield now, {quote.market: quote for quote in group}


def _trade_signals(book: Book, orders: dict[str, Order], quotes: Sequence[Quote], rules: Rules) -> list[Event]:
    """The model's strategy: enter beyond the margin, leave `horizon_bars` after the last signal of the same side, or
    when the signal flips. Stronger signals come first where positions or money are short."""
    events: list[Event] = []
    for now, bars in _by_time(quotes):
        due = {market: orders.pop(market) for market in bars if market in orders}
        events += _fill_exits(book, due, bars)
        events += _fill_entries(book, due, bars, rules)
        book.see(bars)
        for market in book.silent(now, rules.horizon_bars):
            book.leave(market, book.marks[market].price, now, "silent")
            orders.pop(market, None)
            events.append(Event(0, 0.0))
        for quote in bars.values():
            _decide(book, orders, quote, rules)
        book.record(now)
    return events


def _fill_exits(book: Book, due: Mapping[str, Order], bars: Mapping[str, Quote]) -> list[Event]:
    events = []
    for market, order in due.items():
        position = book.positions.get(market)
        if position is not None and position.side != order.side:
            reason = "horizon" if position.bars_left <= 0 else "flip"
            book.leave(market, bars[market].open, bars[market].start, reason)
            events.append(Event(0, 0.0))
    return events


def _fill_entries(book: Book, due: Mapping[str, Order], bars: Mapping[str, Quote], rules: Rules) -> list[Event]:
    events = []
    weight = position_weight(rules.max_positions, rules.max_weight)
    for market, order in sorted(due.items(), key=lambda item: (-item[1].strength, item[0])):
        quote = bars[market]
        is_free = market not in book.positions and len(book.positions) < rules.max_positions
        if order.side == 0 or not is_free or not order.at <= quote.start <= order.until:
            continue
        notional = entry_notional(book.equity, book.cash, book.exposure, weight, rules.costs.fill_fraction)
        if notional > 0:
            book.enter(quote, order.side * notional / quote.open, rules.horizon_bars, order.at)
            events.append(Event(order.side, notional / book.equity))
    return events


def _decide(book: Book, orders: dict[str, Order], quote: Quote, rules: Rules) -> None:
    """What to do at this market's next open, given the signal that came with its newest bar."""
    position = book.positions.get(quote.market)
    wanted = quote.side if quote.side == 1 or rules.allow_short else 0
    until = quote.ts + GAP_FACTOR * rules.horizon_bars * quote.spacing_seconds * _SECOND
    if position is None:
        if wanted:
            orders[quote.market] = Order(wanted, quote.strength, quote.ts, until)
    elif quote.side == position.side:
        position.bars_left = rules.horizon_bars
    elif quote.side == -position.side or position.bars_left <= 0:
        orders[quote.market] = Order(wanted, quote.strength, quote.ts, until)


def _buy_and_hold(book: Book, quotes: Sequence[Quote], rules: Rules) -> None:
    """Equal weights of all markets seen so far; weights are made equal again when a market joins, never else."""
    for now, bars in _by_time(quotes):
        joined = [m for m, quote in bars.items() if m not in book.marks and quote.start >= rules.start]
        if joined:
            _rebalance(book, joined, bars)
        known = {market: quote for market, quote in bars.items() if market in book.marks}
        book.see(known)
        for market in book.silent(now, rules.horizon_bars):
            book.fill(-book.positions.pop(market).quantity, book.marks[market].price)  # given up, not traded
        book.record(now)


def _rebalance(book: Book, joined: Sequence[str], bars: Mapping[str, Quote]) -> None:
    for market in joined:
        quote = bars[market]
        book.positions[market] = Position(0.0, quote.open, quote.start, 0.0, 0.0, 0)
        book.marks[market] = Mark(quote.open, quote.start, quote.spacing_seconds)
    prices = {m: bars[m].open if m in bars else book.marks[m].price for m in sorted(book.positions)}
    worth = book.cash + sum(book.positions[market].quantity * price for market, price in prices.items())
    # Twice the costs stay aside: what is sold and what is bought both pay them.
    notional = worth * (1 - 2 * book.costs.fill_fraction) / len(prices)
    for market, price in prices.items():
        position = book.positions[market]
        change = notional / price - position.quantity
        book.fill(change, price)
        position.quantity += change


def _enter_at_random(
    book: Book, backlog: list[Event], events: Sequence[Event], quotes: Sequence[Quote], rules: Rules, key: str
) -> list[Event]:
    """The model's fills in the same order, of the same side and weight, at random times in random markets: what its
    turnover would have earned without its knowledge. Returns the fills that found no bar to trade at."""
    chance = random.Random(f"{rules.seed}:{key}")
    times = list(_by_time(quotes))
    moments = sorted(int(chance.random() * len(times)) for _ in events)
    queue = [*((0, event) for event in backlog), *zip(moments, events, strict=True)]
    for number, (now, bars) in enumerate(times):
        while queue and queue[0][0] <= number and _repeat(book, queue[0][1], bars, rules, chance):
            queue.pop(0)
        book.see(bars)
        for market in book.silent(now, rules.horizon_bars):
            book.leave(market, book.marks[market].price, now, "silent")
        book.record(now)
    return [event for _, event in queue]


def _repeat(book: Book, event: Event, bars: Mapping[str, Quote], rules: Rules, chance: random.Random) -> bool:
    """Fill `event` in a market drawn from those with a bar; False: there is none at this time, try at the next."""
    is_entry = event.side != 0
    if not is_entry and not book.positions:
        return True  # given up before, when its market went silent
    fitting = [m for m in bars if (m in book.positions) != is_entry and bars[m].start >= rules.start]
    if not fitting:
        return False
    quote = bars[fitting[int(chance.random() * len(fitting))]]
    if is_entry:
        weight = event.weight * (1 + rules.costs.fill_fraction)
        notional = entry_notional(book.equity, book.cash, book.exposure, weight, rules.costs.fill_fraction)
        if notional > 0:
            book.enter(quote, event.side * notional / quote.open, rules.horizon_bars)
    else:
        book.leave(quote.market, quote.open, quote.start, "random")
    return True
