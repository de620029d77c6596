"""What the platform would refuse is not sent: the quantity is cut to its lot, the limit price must lie on its tick and
within its band."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from agent.trading.model import Proposal
from agent.trading.rule import Answer, Reduce, Refuse, View, floored
from agent.trading.rule_example import Case, view_of

PLACE, CLOSES = 80, True


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Cut to the lot; refuse a price off the tick or out of the band."""
    instrument, price = view.instrument, proposal.limit
    if price is not None and floored(price, instrument.tick) != price:
        return Refuse(f"the price {price} lies off the tick {instrument.tick}", {"limit": price})
    band = (instrument.price_low, instrument.price_high)
    used = proposal.reference if price is None else price
    if (band[0] is not None and used < band[0]) or (band[1] is not None and used > band[1]):
        return Refuse(f"the price {used} lies out of the band {band[0]} to {band[1]}", {"price": used})
    return Reduce(floored(proposal.quantity, instrument.lot), f"cut to the lot of {instrument.lot}")


_BAND = replace(
    view_of(Case("")).instrument, lot=Decimal("0.001"), price_low=Decimal(40_000), price_high=Decimal(60_000)
)
ALLOWS = (
    Case("on lot and tick", proposal={"limit": Decimal("49999.99")}, left="0.01"),
    Case("cut to the lot", view={"instrument": _BAND}, proposal={"quantity": Decimal("0.0109")}, left="0.01"),
    Case("at the band's end", view={"instrument": _BAND}, proposal={"limit": Decimal(60_000)}, left="0.01"),
)
REFUSES = (
    Case("off the tick", proposal={"limit": Decimal("49999.995")}, says="off the tick"),
    Case("out of the band", view={"instrument": _BAND}, proposal={"limit": Decimal(60_001)}, says="out of the band"),
    Case(
        "less than a lot", view={"instrument": _BAND}, proposal={"quantity": Decimal("0.0009")}, says="cut to the lot"
    ),
)
