"""Nothing is opened on a quote older than max_mark_age_seconds, or on a book without two sides."""

from __future__ import annotations

from datetime import datetime, timedelta

from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import NOW, Case

PLACE, CLOSES = 20, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse an old quote, and one that lacks a side."""
    age, most = (now - view.quote.ts).total_seconds(), view.config.max_mark_age_seconds
    evidence = {"age_seconds": age, "max_mark_age_seconds": most}
    if age > most:
        return Refuse(f"the quote is {age:.0f} s old, at most {most:.0f} are allowed", evidence)
    if not view.quote.is_two_sided:
        return Refuse("the book lacks a side", {"bid": view.quote.bid, "ask": view.quote.ask})
    return Allow(evidence)


ALLOWS = (Case("exactly as old as allowed", quote={"ts": NOW - timedelta(seconds=120)}, left="0.01"),)
REFUSES = (
    Case("a second older", quote={"ts": NOW - timedelta(seconds=121)}, says="121 s old, at most 120"),
    Case("no bid", quote={"bid": None}, says="lacks a side"),
    Case("crossed", quote={"bid": 60_000}, says="lacks a side"),
)
