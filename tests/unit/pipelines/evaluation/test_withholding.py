"""Decisions of a model that is not tradable."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.evaluation.withholding import withhold


@dataclass(frozen=True)
class Said:
    action: str
    side: int
    net_edge: float
    weight: float
    reason: str


BUY = Said("buy", 1, 0.01, 0.2, "net edge +1.000% exceeds the margin of 0.000%")


def test_what_is_tradable_stays_as_the_rule_said() -> None:
    assert withhold([BUY], {"tradable": True, "reason": ""}) == [BUY]


def test_what_is_not_tradable_says_hold_and_why() -> None:
    reason = "VOLATILITY ONLY: it knows when, not which way"
    assert withhold([BUY, BUY], {"tradable": False, "reason": reason}) == [Said("hold", 0, 0.01, 0.0, reason)] * 2
