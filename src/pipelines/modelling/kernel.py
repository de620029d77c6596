"""The loop of the simulation, event by event: what trading the decisions would have done.

Plain arithmetic over one-dimensional columns, and nothing that numba cannot compile: the same code runs interpreted
over lists, which is the reference, and compiled over arrays (`modelling.fast`). At each instant the bars that end come
first (marks, payouts, decisions), then those that begin (fills), whatever market and interval they are of.

A contract is what is held: the market itself, or NO of a binary market, whose price is 1 − p. Its sign is -1 for a
short sale and 1 for all else, so that the value of a holding is sign · quantity · price of the contract.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pipelines.costs import fill_price, unit_cost, unit_fee
from pipelines.decision import wanted_side
from pipelines.sizing import entry_notional

PAYOUT = 9  # stands for a side where a row is no bar but what a market paid
REASONS = ("horizon", "flip", "silent", "resolved", "margin_call", "ruined")
HORIZON, FLIP, SILENT, RESOLVED, MARGIN_CALL, RUINED = range(len(REASONS))
# Maintenance margin of short sales: FINRA rule 4210 asks for 30 % of the market value.
MAINTENANCE = 0.3


class Closes(NamedTuple):
    """Bars that end, and payouts, in the order of (at, market). side: what the decision rule would enter, or PAYOUT;
    price is then what the market paid."""

    at: Any
    market: Any
    price: Any
    side: Any
    strength: Any


class Opens(NamedTuple):
    """Bars that begin, in the order of (at, market). distance: of a fill from the price, half spread and slippage."""

    at: Any
    market: Any
    price: Any
    distance: Any


class Markets(NamedTuple):
    """What is known of each market. patience: microseconds without a bar after which a holding is given up."""

    distance: Any
    fee: Any
    is_binary: Any
    patience: Any
    horizon: Any


class Books(NamedTuple):
    """State of a strategy: by market what is held, ordered and marked, then the list of markets held and the sums.

    order: 0 none, 1 an order, 2 one of a margin call. sums: cash, equity, value held, traded, paid, next look.
    counts: how many are held, 1 where ruined, trades so far.
    """

    quantity: Any
    entry_price: Any
    entry_fee: Any
    entry_slippage: Any
    entry_weight: Any
    strength: Any
    mark: Any
    side: Any
    opened_at: Any
    signal_at: Any
    bars_left: Any
    bars_held: Any
    order: Any
    order_side: Any
    order_at: Any
    order_until: Any
    marked_at: Any
    slot: Any
    is_over: Any
    held: Any
    sums: Any
    counts: Any


CASH, EQUITY, VALUE, TRADED, PAID, NEXT_LOOK = range(6)
HELD, IS_RUINED, TRADES = range(3)


class Curve(NamedTuple):
    """What to fill in, one row for each instant at which a bar ends."""

    at: Any
    equity: Any
    cash: Any
    exposure: Any
    traded: Any
    paid: Any


class Closed(NamedTuple):
    """What to fill in, one row for each position that ends."""

    market: Any
    side: Any
    signal_at: Any
    entry_at: Any
    exit_at: Any
    bars_held: Any
    reason: Any
    quantity: Any
    entry_price: Any
    exit_price: Any
    costs: Any
    pnl: Any
    weight: Any


def trade_signals(
    closes: Closes,
    opens: Opens,
    markets: Markets,
    book: Books,
    curve: Curve,
    closed: Closed,
    candidates: Any,
    allow_short: bool,
    max_positions: int,
    weight: float,
) -> int:
    """The model's strategy, by the decision rule; stronger signals first where positions or money are short. Returns
    how many rows of `curve` were filled; book.counts[TRADES] says how many of `closed`."""
    # Columns are taken out of their tuples once, and functions are called only where something happens: both are dear.
    ends, ending, prices, sides, strengths = closes.at, closes.market, closes.price, closes.side, closes.strength
    begins, beginning = opens.at, opens.market
    mark, marked_at, held, left, order = book.mark, book.marked_at, book.side, book.bars_left, book.order
    is_over, counts = book.is_over, book.counts
    row, first, points = 0, 0, 0
    while row < len(ends) or first < len(begins):
        if first >= len(begins) or (row < len(ends) and ends[row] <= begins[first]):
            now = ends[row]
            while row < len(ends) and ends[row] == now:
                market, side = ending[row], sides[row]
                mark[market] = prices[row]
                marked_at[market] = now
                if side == PAYOUT:
                    pay_out(book, closed, markets, market, prices[row], now)
                elif side != 0 or held[market] != 0:
                    if held[market] != 0:
                        left[market] = markets.horizon[market] if side == held[market] else left[market] - 1
                        book.bars_held[market] += 1
                    may_short = allow_short or markets.is_binary[market] != 0
                    wanted = wanted_side(held[market], left[market], side, may_short)
                    if wanted != held[market] and is_over[market] == 0 and counts[IS_RUINED] == 0:
                        order[market] = 1
                        book.order_side[market] = wanted
                        book.order_at[market] = now
                        book.order_until[market] = now + markets.patience[market]
                        book.strength[market] = strengths[row]
                row += 1
            if counts[HELD] > 0:
                give_up_silent(now, markets, book, closed)
            record(now, markets, book, closed, curve, points)
            points += 1
        else:
            now, last, is_due = begins[first], first, False
            while last < len(begins) and begins[last] == now:
                if order[beginning[last]] != 0:
                    is_due = True
                last += 1
            if is_due:
                fill_orders(opens, first, last, markets, book, closed, candidates, max_positions, weight)
            first = last
    return points


def pay_out(book: Books, closed: Closed, markets: Markets, market: int, price: float, now: int) -> None:
    """A market is resolved: what is held of it is paid, and nothing is ordered there any more."""
    book.is_over[market] = 1
    book.order[market] = 0
    if book.side[market] != 0:
        leave(book, closed, markets, market, price, 0.0, 0.0, now, RESOLVED)


def fill_orders(
    opens: Opens,
    first: int,
    last: int,
    markets: Markets,
    book: Books,
    closed: Closed,
    candidates: Any,
    max_positions: int,
    weight: float,
) -> None:
    """Fill what is ordered in the markets whose bars begin at one instant, exits first."""
    now, waiting = opens.at[first], 0
    for row in range(first, last):
        market = opens.market[row]
        if book.order[market] != 0:
            if book.side[market] != 0:
                reason = HORIZON if book.bars_left[market] <= 0 else FLIP
                reason = MARGIN_CALL if book.order[market] == 2 else reason
                leave(
                    book,
                    closed,
                    markets,
                    market,
                    opens.price[row],
                    opens.distance[row],
                    markets.fee[market],
                    now,
                    reason,
                )
            if book.order_side[market] != 0 and now <= book.order_until[market]:
                candidates[waiting] = row
                waiting += 1
            book.order[market] = 0
    while waiting > 0 and book.counts[HELD] < max_positions:
        best = 0
        for number in range(1, waiting):
            one, other = opens.market[candidates[number]], opens.market[candidates[best]]
            if book.strength[one] > book.strength[other]:
                best = number
        chosen = candidates[best]
        for number in range(best, waiting - 1):
            candidates[number] = candidates[number + 1]
        waiting -= 1
        if not enter(book, markets, opens.market[chosen], opens.price[chosen], opens.distance[chosen], now, weight):
            waiting = 0


def enter(book: Books, markets: Markets, market: int, price: float, distance: float, now: int, weight: float) -> bool:
    """Open a position at `price`. False: there is no room for any."""
    side, binary = book.order_side[market], markets.is_binary[market]
    sign = 1 if side > 0 or binary != 0 else -1
    contract = 1.0 - price if side < 0 and binary != 0 else price
    filled = fill_price(contract, sign, distance, binary)
    if binary != 0 and filled >= 1.0:
        return True  # nothing is left to earn in this market; there may be in others
    cost = unit_cost(contract, 1, distance, markets.fee[market], binary)  # the most that a fill costs
    if contract <= 0.0:
        return True
    room = entry_notional(book.sums[EQUITY], book.sums[CASH], exposure_of(book, markets), weight, cost / contract)
    if room <= 0.0:
        return False
    quantity = room / contract
    fee = quantity * unit_fee(filled, markets.fee[market], binary)
    slippage = quantity * abs(filled - contract)
    book.sums[CASH] -= sign * quantity * filled + fee
    book.sums[TRADED] += quantity * filled
    book.sums[PAID] += fee + slippage
    book.quantity[market] = quantity
    book.entry_price[market] = filled
    book.entry_fee[market] = fee
    book.entry_slippage[market] = slippage
    book.entry_weight[market] = room / book.sums[EQUITY]
    book.side[market] = side
    book.opened_at[market] = now
    book.signal_at[market] = book.order_at[market]
    book.bars_left[market] = markets.horizon[market]
    book.bars_held[market] = 0
    book.mark[market] = price
    book.marked_at[market] = now
    book.slot[market] = book.counts[HELD]
    book.held[book.counts[HELD]] = market
    book.counts[HELD] += 1
    return True


def leave(
    book: Books,
    closed: Closed,
    markets: Markets,
    market: int,
    price: float,
    distance: float,
    fee_rate: float,
    now: int,
    reason: int,
) -> None:
    """Close a position at `price` and write the trade down. A payout has no distance and no fee."""
    side, binary, quantity = book.side[market], markets.is_binary[market], book.quantity[market]
    sign = 1 if side > 0 or binary != 0 else -1
    contract = 1.0 - price if side < 0 and binary != 0 else price
    filled = fill_price(contract, -sign, distance, binary)
    if binary != 0 and filled < 0.0:
        filled = 0.0
    fee = quantity * unit_fee(filled, fee_rate, binary)
    slippage = quantity * abs(filled - contract)
    book.sums[CASH] += sign * quantity * filled - fee
    if reason != RESOLVED:
        book.sums[TRADED] += quantity * filled
    book.sums[PAID] += fee + slippage
    number = book.counts[TRADES]
    closed.market[number] = market
    closed.side[number] = side
    closed.signal_at[number] = book.signal_at[market]
    closed.entry_at[number] = book.opened_at[market]
    closed.exit_at[number] = now
    closed.bars_held[number] = book.bars_held[market]
    closed.reason[number] = reason
    closed.quantity[number] = quantity
    closed.entry_price[number] = book.entry_price[market]
    closed.exit_price[number] = filled
    closed.costs[number] = book.entry_fee[market] + book.entry_slippage[market] + fee + slippage
    closed.pnl[number] = sign * quantity * (filled - book.entry_price[market]) - book.entry_fee[market] - fee
    closed.weight[number] = book.entry_weight[market]
    book.counts[TRADES] += 1
    book.side[market] = 0
    book.quantity[market] = 0.0
    last = book.held[book.counts[HELD] - 1]  # takes the place that becomes free
    book.held[book.slot[market]] = last
    book.slot[last] = book.slot[market]
    book.counts[HELD] -= 1


def value_of(book: Books, markets: Markets, market: int) -> float:
    """What a holding is worth at its mark; a short sale's value is below 0."""
    if book.side[market] > 0:
        return book.quantity[market] * book.mark[market]  # type: ignore[no-any-return]  # columns are lists or arrays
    if markets.is_binary[market] != 0:
        return book.quantity[market] * (1.0 - book.mark[market])  # type: ignore[no-any-return]
    return -book.quantity[market] * book.mark[market]  # type: ignore[no-any-return]


def exposure_of(book: Books, markets: Markets) -> float:
    """Sum of absolute notionals at mark."""
    total = 0.0
    for number in range(book.counts[HELD]):
        total += abs(value_of(book, markets, book.held[number]))
    return total


def give_up_silent(now: int, markets: Markets, book: Books, closed: Closed) -> None:
    """Leave markets that have shown no bar for longer than the horizon may take: delisted. A binary market is held on:
    what it pays is still to come, and nobody buys at its last price until then."""
    number = 0
    while number < book.counts[HELD]:
        market = book.held[number]
        if markets.is_binary[market] == 0 and now - book.marked_at[market] > markets.patience[market]:
            distance, fee = markets.distance[market], markets.fee[market]
            leave(book, closed, markets, market, book.mark[market], distance, fee, now, SILENT)
            book.order[market] = 0
        else:
            number += 1


def record(now: int, markets: Markets, book: Books, closed: Closed, curve: Curve, point: int) -> None:
    """Value everything at its mark, stop a ruined account, call margin, and add a point to the curve."""
    value, exposure, short = 0.0, 0.0, 0.0
    for number in range(book.counts[HELD]):
        worth = value_of(book, markets, book.held[number])
        value += worth
        exposure += abs(worth)
        short += max(0.0, -worth)
    equity = book.sums[CASH] + value
    if equity <= 0.0 and book.counts[HELD] > 0:
        while book.counts[HELD] > 0:
            market = book.held[0]
            leave(book, closed, markets, market, book.mark[market], 0.0, 0.0, now, RUINED)
        equity, exposure = book.sums[CASH], 0.0
    if equity <= 0.0:
        book.counts[IS_RUINED] = 1
    elif equity < MAINTENANCE * short:
        for number in range(book.counts[HELD]):
            market = book.held[number]
            if book.side[market] < 0 and markets.is_binary[market] == 0:
                book.order[market] = 2
                book.order_side[market] = 0
    book.sums[EQUITY] = equity
    curve.at[point] = now
    curve.equity[point] = equity
    curve.cash[point] = book.sums[CASH]
    curve.exposure[point] = exposure
    curve.traded[point] = book.sums[TRADED]
    curve.paid[point] = book.sums[PAID]
    book.sums[TRADED] = 0.0
    book.sums[PAID] = 0.0
