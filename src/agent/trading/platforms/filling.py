"""How the paper platform fills an order from a bar. Pure.

An order fills at the open of the first bar that starts when it was placed or later: a decision made at a bar's end
trades at the next open, as the simulation does. It pays half the spread, slippage and fee of the market's costs, and
gets at most a tenth of the bar's volume; what is left waits for the next bar.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from agent.amounts import less, of_float, ratio, times, total
from agent.trading.feed import Bar, Listing
from agent.trading.model import ZERO, Fill, Outcome, Side
from agent.trading.rule import floored

PART_OF_VOLUME = Decimal("0.1")
_AFTER_THE_OPEN = timedelta(milliseconds=1)  # so that a fill comes after what was decided at the same moment


def price_of(listing: Listing, price: Decimal, side: Side, outcome: Outcome) -> Decimal:
    """What one unit costs (or brings) when the market shows `price` of YES: NO is bought by selling YES."""
    direction = (1 if side == "buy" else -1) * (-1 if outcome == "no" else 1)
    filled = of_float(listing.costs.fill_price(float(price), direction))
    return less(Decimal(1), filled) if outcome == "no" else filled


def fill_of(
    *,
    order: str,
    outcome: Outcome,
    side: Side,
    rest: Decimal,
    limit: Decimal | None,
    bar: Bar,
    listing: Listing,
    cash: Decimal,
) -> Fill | None:
    """The fill of an order in `bar`, None where it gets nothing. rest: quantity that is not filled; cash: what a buy
    may cost, fee included: there is no credit."""
    price = price_of(listing, bar.open, side, outcome)
    if limit is not None and (price > limit if side == "buy" else price < limit):
        return None
    quantity, lot = rest, listing.instrument.lot
    if bar.volume is not None:
        quantity = min(quantity, floored(times(bar.volume, PART_OF_VOLUME), lot))
    fee = of_float(listing.costs.unit_fee(float(price)))
    unit = total((price, fee))
    if side == "buy" and unit > 0:
        quantity = min(quantity, floored(ratio(max(ZERO, cash), unit), lot))
    if quantity <= 0:
        return None
    return Fill(
        fill_id=f"{order}:{bar.start:%Y%m%dT%H%M%S}",
        market_id=listing.instrument.market_id,
        outcome=outcome,
        side=side,
        quantity=quantity,
        price=price,
        fee=times(quantity, fee),
        ts=bar.start + _AFTER_THE_OPEN,
        client_order_id=order,
    )
