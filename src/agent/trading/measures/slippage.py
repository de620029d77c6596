"""What fills cost beside the mid that their decision saw, and when that is more than the project's costs say. Pure.

    cost of a fill   = side x (price - mid) x quantity; below 0 where the fill was better than the mid
    expected         = distance of the market's costs (half spread and slippage) at that mid x quantity

A single fill says little: until it happens the price moves, for or against us. Many that cost more than expected are no
chance: the mean excess, as a fraction of what was traded, lies more than three standard errors above 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from agent.amounts import less, of_float, share, times, total
from pipelines.costs import BASIS_POINT, Costs
from pipelines.values import dataclass

LEAST, ERRORS = 10, 3.0


@dataclass(frozen=True)
class Seen:
    """A fill beside the mid of its decision, in the price of its own outcome; mid: None where none is known."""

    market_id: str
    side: str
    quantity: Decimal
    price: Decimal
    mid: Decimal | None
    ts: datetime


@dataclass(frozen=True)
class Paid:
    """What a fill cost and was expected to cost beside the mid, and how much was traded; units of account."""

    cost: Decimal
    expected: Decimal
    notional: Decimal


@dataclass(frozen=True)
class Drift:
    """How far fills are from what was reckoned with. without_mid: of these no decision says a mid, and they are in no
    sum. notional: what the others come to at their mids; cost: beside those, None where there are none; expected: what
    costs expect of them, None where those of one are not known; both in basis points of notional, too. is_beyond: they
    cost more than expected beyond chance."""

    fills: int
    without_mid: int
    notional: Decimal
    cost: Decimal | None
    cost_bps: float | None
    expected: Decimal | None
    expected_bps: float | None
    is_beyond: bool


def drift_of(fills: Sequence[tuple[Seen, Costs | None]]) -> Drift:
    """What fills cost beside the mids of their decisions, and what the costs of their markets (None: not known) expect
    of that."""
    measured = [(paid_by(fill, costs or Costs()), costs is not None) for fill, costs in fills]
    paid = [one for one, _ in measured if one is not None]
    is_reckoned = bool(paid) and all(is_known for one, is_known in measured if one is not None)
    notional = total(one.notional for one in paid)
    cost = total(one.cost for one in paid) if paid else None
    expected = total(one.expected for one in paid) if is_reckoned else None
    return Drift(
        fills=len(fills),
        without_mid=len(fills) - len(paid),
        notional=notional,
        cost=cost,
        cost_bps=_bps(cost, notional),
        expected=expected,
        expected_bps=_bps(expected, notional),
        is_beyond=is_reckoned and is_beyond(paid),
    )


def _bps(part: Decimal | None, notional: Decimal) -> float | None:
    return None if part is None else float(part / notional) / BASIS_POINT


def paid_by(fill: Seen, costs: Costs) -> Paid | None:
    """What a fill paid at these costs; None where no mid is known, or too little was traded to be an amount."""
    notional = None if fill.mid is None else times(fill.mid, fill.quantity)
    if fill.mid is None or not notional:
        return None
    distance = of_float(costs.distance(float(fill.mid)))
    unit = distance if costs.is_binary else times(distance, fill.mid)
    return Paid(_cost(fill, fill.mid, fill.quantity), times(unit, fill.quantity), notional)


def is_beyond(found: Sequence[Paid]) -> bool:
    """Whether these fills cost more than expected beyond chance; False for fewer than ten."""
    if len(found) < LEAST:
        return False
    excess = [float(less(one.cost, one.expected) / one.notional) for one in found]
    return statistics.fmean(excess) > ERRORS * statistics.stdev(excess) / math.sqrt(len(excess))


def slippage_of(fills: Sequence[Seen], is_long: bool, quantity: Decimal) -> Decimal | None:
    """What the fills of one round trip cost against the mids of their decisions; None where one has none.

    fills: since it was opened, in order. quantity: what was opened in all: where the first or the last fill changed the
    sign, the rest of it belongs to the round trip before or after.
    """
    entries = [one for one in fills if (one.side == "buy") == is_long]
    exits = [one for one in fills if (one.side == "buy") != is_long]
    parts = [*_within(entries[::-1], quantity), *_within(exits, quantity)]
    known = [_cost(one, one.mid, part) for one, part in parts if one.mid is not None]
    return total(known) if known and len(known) == len(parts) else None


def _within(fills: Sequence[Seen], quantity: Decimal) -> list[tuple[Seen, Decimal]]:
    """The fills, in this order, up to `quantity` in all."""
    found, left = [], quantity
    for one in fills:
        part = min(one.quantity, left)
        if part:
            found.append((one, part))
        left = less(left, part)
    return found


def _cost(fill: Seen, mid: Decimal, quantity: Decimal) -> Decimal:
    worse = less(fill.price, mid) if fill.side == "buy" else less(mid, fill.price)
    return share(times(worse, fill.quantity), quantity, fill.quantity)
