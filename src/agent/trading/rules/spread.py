"""No entry where bid and ask lie further apart than 2 % of their mid, or 0.04 of a binary market."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from agent.amounts import figure_text, less, times
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import Case, view_of

PLACE, CLOSES = 90, False
WIDEST, WIDEST_BINARY = Decimal("0.02"), Decimal("0.04")


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse a wide book, and one without two sides."""
    quote, mid = view.quote, view.quote.mid
    if mid is None or quote.bid is None or quote.ask is None:
        return Refuse("there is no spread: the book lacks a side")
    most = WIDEST_BINARY if view.instrument.is_binary else times(mid, WIDEST)
    spread = less(quote.ask, quote.bid)
    evidence = {"spread": spread, "most": most}
    return (
        Allow(evidence)
        if spread <= most
        else Refuse(f"the spread is {figure_text(spread)}, at most {figure_text(most)}", evidence)
    )


_BINARY = replace(view_of(Case("")).instrument, kind="binary")
ALLOWS = (
    Case("exactly 2 %", quote={"bid": Decimal(99), "ask": Decimal(101)}, left="0.01"),
    Case(
        "four cents", view={"instrument": _BINARY}, quote={"bid": Decimal("0.10"), "ask": Decimal("0.14")}, left="0.01"
    ),
)
REFUSES = (
    Case("more than 2 %", quote={"bid": Decimal(99), "ask": Decimal("101.01")}, says="the spread is 2.01"),
    Case(
        "five cents", view={"instrument": _BINARY}, quote={"bid": Decimal("0.5"), "ask": Decimal("0.55")}, says="0.05"
    ),
    Case("no bid", quote={"bid": None}, says="lacks a side"),
)
