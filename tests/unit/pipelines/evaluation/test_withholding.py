"""Decisions of a model that is not tradable."""

from __future__ import annotations

from pipelines.decision import Decision
from pipelines.evaluation.withholding import withhold

BUY = Decision("buy", 1, 0.01, 0.01, 0.6, 0.05, 0.2, 0.7, "net edge +1.000 % exceeds the margin of 0.000 %")


def test_what_is_tradable_stays_as_the_rule_said() -> None:
    assert withhold([BUY], {"tradable": True, "reason": ""}) == [BUY]


def test_what_is_not_tradable_says_hold_and_why() -> None:
    reason = "VOLATILITY ONLY: it knows when, not which way"
    assert (
        withhold([BUY, BUY], {"tradable": False, "reason": reason})
        == [Decision("hold", 0, 0.01, 0.01, 0.6, 0.05, 0.0, 0.7, reason)] * 2
    )
