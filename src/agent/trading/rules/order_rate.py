"""At most 5 orders a second and 60 a minute are sent from an account."""

from __future__ import annotations

from datetime import datetime, timedelta

from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import NOW, Case

PLACE, CLOSES = 180, False
LIMITS = ((timedelta(seconds=1), 5), (timedelta(minutes=1), 60))


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse what comes too soon after others."""
    for span, most in LIMITS:
        count = sum(now - span < one <= now for one in view.sent)
        if count >= most:
            return Refuse(f"{count} orders in {span.total_seconds():.0f} s, at most {most}", {"count": count})
    return Allow()


def _sent(count: int, apart: float) -> dict[str, tuple[datetime, ...]]:
    return {"sent": tuple(NOW - timedelta(seconds=apart * number) for number in range(count))}


ALLOWS = (
    Case("four in a second", view=_sent(4, 0.1), left="0.01"),
    Case("five a second ago", view={"sent": (NOW - timedelta(seconds=1),) * 5}, left="0.01"),
    Case("59 in a minute", view=_sent(59, 0.9), left="0.01"),
)
REFUSES = (
    Case("five in a second", view=_sent(5, 0.1), says="5 orders in 1 s, at most 5"),
    Case("60 in a minute", view=_sent(60, 0.9), says="60 orders in 60 s, at most 60"),
)
