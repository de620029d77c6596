"""Nothing is sent while the market takes no orders."""

from __future__ import annotations

from datetime import datetime

from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import Case

PLACE, CLOSES = 10, True


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse where the quote says that the market is closed."""
    if view.quote.is_open:
        return Allow()
    return Refuse(f"{proposal.market_id} is closed", {"quote_ts": view.quote.ts})


ALLOWS = (Case("an open market", left="0.01"),)
REFUSES = (
    Case("a closed one", quote={"is_open": False}, says="is closed"),
    Case("closing waits, too", proposal={"reduces": True}, quote={"is_open": False}, says="is closed"),
)
