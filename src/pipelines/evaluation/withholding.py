"""What the newest decisions say of a model that is not tradable: hold, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.decision import Decision


def withhold(decisions: Sequence[Decision], assessment: Mapping[str, Any]) -> list[Decision]:
    """The `decisions` as they are where the `assessment` (of model.json) says tradable, else each with action "hold",
    side 0, weight 0 and the assessment's reason. Net edge, threshold and distance stay what the rule said: a person may
    look at them, nobody trades them.

    The backtest does not ask this: it trades what the rule said at each bar, before the assessment could be known.
    """
    if assessment["tradable"]:
        return list(decisions)
    return [hold(one, assessment["reason"]) for one in decisions]


def hold(decision: Decision, reason: str) -> Decision:
    """The decision with nothing to do, for that reason; its figures stay."""
    return replace(decision, action="hold", side=0, weight=0.0, reason=reason)
