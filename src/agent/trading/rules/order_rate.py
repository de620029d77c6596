"""At most 60 orders a minute are sent from an account, and 5 a second: those of one cycle go out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import NOW, Case

PLACE, CLOSES = 180, False
_MINUTE, _MOST_A_MINUTE = timedelta(minutes=1), 60
_SECOND, _MOST_A_SECOND = timedelta(seconds=1), 5


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse what comes too soon after others."""
    count = _within(view.lately, _MINUTE, now)
    if count < _MOST_A_MINUTE:
        return Allow({"count": count})
    return Refuse(f"{count} orders in a minute, at most {_MOST_A_MINUTE}", {"count": count})


def seconds_until_next(sent: Sequence[datetime], now: datetime) -> float:
    """How long the next order waits for a second with fewer than five. sent: when orders were, the oldest first."""
    if _within(sent, _SECOND, now) < _MOST_A_SECOND:
        return 0.0
    return (sent[-_MOST_A_SECOND] + _SECOND - now).total_seconds()


def _within(sent: Sequence[datetime], span: timedelta, now: datetime) -> int:
    return sum(now - span < one <= now for one in sent)


def _sent(count: int, apart: float) -> dict[str, tuple[datetime, ...]]:
    return {"lately": tuple(NOW - timedelta(seconds=apart * number) for number in range(count))}


ALLOWS = (
    Case("60 a minute ago", view={"lately": (NOW - timedelta(minutes=1),) * 60}, left="0.01"),
    Case("59 in a minute", view=_sent(59, 0.9), left="0.01"),
)
REFUSES = (Case("60 in a minute", view=_sent(60, 0.9), says="60 orders in a minute, at most 60"),)
