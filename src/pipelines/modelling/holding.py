"""Buy-and-hold, event by event, over the columns of `modelling.kernel` and as plain as they are."""

from __future__ import annotations

from typing import Any

from pipelines.costs import fill_price, unit_cost, unit_fee
from pipelines.modelling.kernel import (
    CASH,
    EQUITY,
    HELD,
    NEXT_LOOK,
    PAID,
    PAYOUT,
    TRADED,
    VALUE,
    Books,
    Closes,
    Curve,
    Markets,
    Opens,
)


def buy_and_hold(
    closes: Closes, opens: Opens, markets: Markets, book: Books, curve: Curve, begins_at: Any, prices: Any, start: int
) -> int:
    """Equal weights of all markets that trade; made equal again when one joins or comes back, never else. What a market
    paid, or was given up for, waits in cash until then. Returns how many rows of `curve` were filled.

    `begins_at`, `prices` and book.entry_slippage are scratch, one number for each market.
    """
    ends, ending, shown, sides = closes.at, closes.market, closes.price, closes.side
    begins, beginning = opens.at, opens.market
    mark, marked_at, held, is_over, quantity = book.mark, book.marked_at, book.side, book.is_over, book.quantity
    row, first, points = 0, 0, 0
    while row < len(ends) or first < len(begins):
        if first >= len(begins) or (row < len(ends) and ends[row] <= begins[first]):
            now, gain = ends[row], 0.0
            while row < len(ends) and ends[row] == now:
                market = ending[row]
                gain += quantity[market] * (shown[row] - mark[market])
                mark[market] = shown[row]
                marked_at[market] = now
                if sides[row] == PAYOUT:
                    is_over[market] = 1
                    if held[market] != 0:
                        book.sums[VALUE] += gain
                        gain = 0.0
                        let_go(book, market, shown[row], 0.0, 0.0)
                row += 1
            book.sums[VALUE] += gain
            if now > book.sums[NEXT_LOOK]:
                look_for_silent(now, markets, book)
            note(now, book, curve, points)
            points += 1
        else:
            now, last, may_begin = begins[first], first, False
            while last < len(begins) and begins[last] == now:
                if held[beginning[last]] == 0:
                    may_begin = True
                last += 1
            if may_begin:
                join(opens, first, last, markets, book, begins_at, prices, start)
            first = last
    return points


def note(now: int, book: Books, curve: Curve, point: int) -> None:
    """Add a point to the curve."""
    book.sums[EQUITY] = book.sums[CASH] + book.sums[VALUE]
    curve.at[point] = now
    curve.equity[point] = book.sums[EQUITY]
    curve.cash[point] = book.sums[CASH]
    curve.exposure[point] = book.sums[VALUE]
    curve.traded[point] = book.sums[TRADED]
    curve.paid[point] = book.sums[PAID]
    book.sums[TRADED] = 0.0
    book.sums[PAID] = 0.0


def join(
    opens: Opens, first: int, last: int, markets: Markets, book: Books, begins_at: Any, prices: Any, start: int
) -> None:
    """Take in the markets whose bars begin at one instant and that are not held."""
    now, joins = opens.at[first], False
    for row in range(first, last):
        market = opens.market[row]
        if book.side[market] == 0 and may_join(book, markets, market, opens.price[row], now, start):
            joins = True
            book.side[market] = 1
            book.mark[market] = opens.price[row]
            book.marked_at[market] = now
            book.slot[market] = book.counts[HELD]
            book.held[book.counts[HELD]] = market
            book.counts[HELD] += 1
            book.sums[NEXT_LOOK] = min(book.sums[NEXT_LOOK], now + markets.patience[market])
    if joins:
        for number in range(first, last):
            market = opens.market[number]
            begins_at[market] = now
            prices[market] = opens.price[number]
            book.entry_slippage[market] = opens.distance[number]
        rebalance(now, markets, book, begins_at, prices)


def may_join(book: Books, markets: Markets, market: int, price: float, now: int, start: int) -> bool:
    """Whether a market that is not held can be bought: it trades, and there is something left to earn."""
    dear = markets.is_binary[market] != 0 and fill_price(price, 1, markets.distance[market], 1) >= 1.0
    return bool(now >= start and book.is_over[market] == 0 and price > 0.0 and not dear)


def rebalance(now: int, markets: Markets, book: Books, begins_at: Any, prices: Any) -> None:
    """Equal weights of all that is held, at the opens of `now`, else at the marks."""
    worth = book.sums[CASH]
    for number in range(book.counts[HELD]):
        market = book.held[number]
        if begins_at[market] != now:
            prices[market] = book.mark[market]
            book.entry_slippage[market] = markets.distance[market]
        worth += book.quantity[market] * prices[market]
    book.sums[VALUE] = 0.0
    for number in range(book.counts[HELD]):
        market = book.held[number]
        price, distance = prices[market], book.entry_slippage[market]
        binary, fee_rate = markets.is_binary[market], markets.fee[market]
        if price > 0.0 and worth > 0.0:
            # Twice the costs stay aside: what is sold and what is bought both pay them.
            aside = 2 * unit_cost(price, 1, distance, fee_rate, binary) / price
            change = worth * max(0.0, 1.0 - aside) / book.counts[HELD] / price - book.quantity[market]
            trade_one(book, market, change, price, distance, fee_rate, binary)
        book.mark[market] = price
        book.sums[VALUE] += book.quantity[market] * price


def trade_one(
    book: Books, market: int, change: float, price: float, distance: float, fee_rate: float, binary: int
) -> None:
    """Buy or sell a quantity, with its costs."""
    side = 1 if change > 0.0 else -1
    filled = fill_price(price, side, distance, binary)
    if binary != 0:
        filled = min(max(filled, 0.0), 1.0)
    fee = abs(change) * unit_fee(filled, fee_rate, binary)
    book.sums[CASH] -= change * filled + fee
    book.sums[TRADED] += abs(change) * filled
    book.sums[PAID] += fee + abs(change) * abs(filled - price)
    book.quantity[market] += change


def let_go(book: Books, market: int, price: float, distance: float, fee_rate: float) -> None:
    """Turn a holding into cash at `price`: a payout, or a market that fell silent."""
    quantity = book.quantity[market]
    filled = price * (1.0 - distance)
    fee = quantity * filled * fee_rate
    book.sums[CASH] += quantity * filled - fee
    book.sums[VALUE] -= quantity * book.mark[market]
    if distance > 0.0 or fee_rate > 0.0:
        book.sums[TRADED] += quantity * filled
    book.sums[PAID] += fee + quantity * abs(filled - price)
    book.quantity[market] = 0.0
    book.side[market] = 0
    last = book.held[book.counts[HELD] - 1]
    book.held[book.slot[market]] = last
    book.slot[last] = book.slot[market]
    book.counts[HELD] -= 1
    if book.counts[HELD] == 0:
        book.sums[VALUE] = 0.0


def look_for_silent(now: int, markets: Markets, book: Books) -> None:
    """Give up what has shown no bar for too long, and note when the next market could have."""
    number, soonest = 0, 9.0e18
    while number < book.counts[HELD]:
        market = book.held[number]
        until = book.marked_at[market] + markets.patience[market]
        if markets.is_binary[market] == 0 and now > until:
            let_go(book, market, book.mark[market], markets.distance[market], markets.fee[market])
            continue
        if markets.is_binary[market] == 0:
            soonest = min(soonest, until)
        number += 1
    book.sums[NEXT_LOOK] = soonest
