"""At most max_daily_trades orders that filled, or may have, since midnight UTC. Closing passes, and counts."""

from __future__ import annotations

from datetime import datetime, timedelta

from agent.trading.measures.day import midnight_after, midnight_before
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import NOW, Case

PLACE, CLOSES = 70, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse an entry once the day's number is reached."""
    today, most = sum(one >= midnight_before(now) for one in view.sent), view.config.max_daily_trades
    evidence = {"sent_today": today, "max_daily_trades": most}
    if today < most:
        return Allow(evidence)
    following = midnight_after(now)
    return Refuse(
        f"daily limit {most} reached, {today} sent since 00:00 UTC, next at {following:%Y-%m-%d %H:%M} UTC", evidence
    )


_TODAY = NOW - timedelta(hours=1)
ALLOWS = (
    Case("one is left", config={"max_daily_trades": 2}, view={"sent": (_TODAY,)}, left="0.01"),
    Case(
        "yesterday's do not count",
        config={"max_daily_trades": 1},
        view={"sent": (NOW - timedelta(hours=13),)},
        left="0.01",
    ),
)
REFUSES = (
    Case(
        "reached",
        config={"max_daily_trades": 2},
        view={"sent": (_TODAY, NOW - timedelta(hours=12))},
        says="daily limit 2 reached, 2 sent since 00:00 UTC, next at 2026-01-31 00:00 UTC",
    ),
)
