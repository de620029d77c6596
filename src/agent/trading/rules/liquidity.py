"""At most a tenth of what can be bought within the slippage one accepts; where no depth is known, of the mean volume of
the last twenty bars. Where neither is known nothing is opened live."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agent.amounts import figure_text, times
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Reduce, Refuse, View
from agent.trading.rule_example import Case

PLACE, CLOSES = 100, False
PART = Decimal("0.1")


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to a tenth of the depth, else of the volume."""
    depth = view.quote.ask_depth if proposal.side == "buy" else view.quote.bid_depth
    known = depth if depth is not None else view.mean_volume
    if known is None:
        return Refuse("neither depth nor volume is known") if view.mode == "live" else Allow({"known": None})
    most, source = times(known, PART), "depth" if depth is not None else "volume"
    return Reduce(most, f"at most a tenth of the {source} of {figure_text(known)}", {source: known})


ALLOWS = (
    Case("a tenth", quote={"ask_depth": Decimal("0.1")}, left="0.01"),
    Case("cut to it", quote={"ask_depth": Decimal("0.05")}, left="0.005"),
    Case("of the volume", quote={"ask_depth": None}, view={"mean_volume": Decimal("0.02")}, left="0.002"),
    Case("unknown on paper", quote={"ask_depth": None}, left="0.01"),
)
REFUSES = (
    Case("nothing offered", quote={"ask_depth": Decimal(0)}, says="a tenth of the depth of 0"),
    Case("unknown in live", quote={"ask_depth": None}, view={"mode": "live"}, says="neither depth nor volume"),
)
