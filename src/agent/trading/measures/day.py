"""What an account lost since midnight UTC, whatever was paid in or out meanwhile. Pure.

D0 is the equity of the day's opening; on each flow f, with E the equity just before it, D0 := D0 (E + f) / E, as gain
and loss of the kill switch are scaled (see `flows`). The limit is reached at E <= D0 (1 - limit), without dividing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from agent.amounts import EXACT
from agent.trading.measures.flows import Baseline, after_flow


def midnight_before(now: datetime) -> datetime:
    """00:00 UTC of the day of `now`."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def midnight_after(now: datetime) -> datetime:
    """00:00 UTC of the day after."""
    return midnight_before(now) + timedelta(days=1)


def opening_after(equity: Decimal, flows: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """The day's opening equity, scaled by `flows`: (equity just before, what came or went), in order."""
    base = Baseline(equity, equity)
    for before, flow in flows:
        base = after_flow(base, before, flow)
    return base.initial


def day_loss(opening: Decimal, equity: Decimal, limit: Decimal) -> Decimal | None:
    """The fraction lost since the day's opening where that is `limit` or more; None where it is less."""
    if opening <= 0 or equity > EXACT.multiply(opening, 1 - limit):
        return None
    return EXACT.divide(EXACT.subtract(opening, equity), opening)
