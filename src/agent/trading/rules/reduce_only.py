"""What is meant to make a position smaller never turns it round: it is cut to what is held."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agent.amounts import figure_text
from agent.trading.model import Account, Position, Proposal
from agent.trading.rule import Allow, Answer, Reduce, Refuse, View
from agent.trading.rule_example import MARKET, Case

PLACE, CLOSES = 15, True


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Cut what reduces to what is held; refuse it where that is nothing, or of the other side."""
    if not proposal.reduces:
        return Allow()
    held = view.account.position(proposal.key)
    if held is None or (held.quantity > 0) == (proposal.side == "buy"):
        return Refuse(f"there is nothing to {proposal.side} back in {proposal.market_id}")
    return Reduce(held.quantity.copy_abs(), f"{figure_text(held.quantity)} is held", {"held": held.quantity})


def _holding(quantity: str) -> dict[str, Account]:
    position = Position(
        market_id=MARKET, outcome="", quantity=Decimal(quantity), average=Decimal(50_000), mark=Decimal(49_990)
    )
    return {"account": Account(cash=Decimal(10_000), positions=(position,))}


_CLOSE = {"reduces": True, "side": "sell"}
ALLOWS = (
    Case("all of it", proposal=_CLOSE, view=_holding("0.01"), left="0.01"),
    Case("more than is held", proposal=_CLOSE, view=_holding("0.004"), left="0.004"),
    Case("a short is bought back", proposal={"reduces": True}, view=_holding("-0.02"), left="0.01"),
)
REFUSES = (
    Case("nothing is held", proposal=_CLOSE, says="nothing to sell back"),
    Case("the wrong side", proposal=_CLOSE, view=_holding("-0.01"), says="nothing to sell back"),
)
