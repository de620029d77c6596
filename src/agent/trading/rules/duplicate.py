"""One entry rests in a market at a time; while an order is unknown, nothing else is opened there."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agent.trading.model import Account, Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import Case, resting

PLACE, CLOSES = 50, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse a second entry, and any beside an order of which nobody knows whether it is there."""
    for one in view.account.resting:
        if one.market_id == proposal.market_id and (one.purpose == "open" or one.status == "unknown"):
            return Refuse(f"order {one.client_order_id} is {one.status} in this market", {"order": one.client_order_id})
    return Allow()


def _resting(**changes: str) -> dict[str, Account]:
    return {"account": Account(cash=Decimal(10_000), resting=(resting(**changes),))}


ALLOWS = (
    Case("another market", view=_resting(market_id="coinbase:ETH-USD"), left="0.01"),
    Case("a stop rests", view=_resting(purpose="stop"), left="0.01"),
)
REFUSES = (
    Case("an entry rests", view=_resting(), says="order tm1 is open"),
    Case("an unknown stop", view=_resting(purpose="stop", status="unknown"), says="order tm1 is unknown"),
)
