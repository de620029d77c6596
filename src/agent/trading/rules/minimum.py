"""What is left must be worth the platform's minimum: a smaller size is refused, never raised."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agent.amounts import figure_text, money_text, times
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import Case

PLACE, CLOSES = 170, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse a quantity or a notional below the platform's."""
    instrument, notional = view.instrument, times(proposal.quantity, proposal.reference)
    evidence = {"quantity": proposal.quantity, "notional": notional}
    if proposal.quantity < instrument.min_quantity:
        least = figure_text(instrument.min_quantity)
        return Refuse(f"{figure_text(proposal.quantity)} is below the platform's minimum of {least}", evidence)
    if notional < instrument.min_notional:
        return Refuse(
            f"{money_text(notional)} is below the platform's minimum of {money_text(instrument.min_notional)}", evidence
        )
    return Allow(evidence)


ALLOWS = (Case("exactly the notional", proposal={"quantity": Decimal("0.0002")}, left="0.0002"),)
REFUSES = (
    Case("less than it", proposal={"quantity": Decimal("0.00019999")}, says="minimum of 10"),
    Case("too few", proposal={"quantity": Decimal("0.00009")}, says="minimum of 0.0001"),
)
