"""The release gate: why a release is refused, one sentence per reason. The release before then stays current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any

from pipelines.figures import number_text
from pipelines.values import dataclass

SKILL_DIRECTION, SKILL_DIRECTION_LOW = 0.65, 0.6  # real markets do not show more: beyond it a leak is likelier
SKILL_COEFFICIENT = 0.3


@dataclass(frozen=True)
class Limits:
    """What [publish] allows. max_drift: median PSI; max_age_bars: of a live source; None: any. require_edge refuses
    what is not tradable. accept_skill: why skill beyond belief is believed."""

    max_drift: float | None = None
    max_age_bars: float | None = None
    require_edge: bool = False
    accept_skill: str | None = None


@dataclass(frozen=True)
class Facts:
    """What a release is made of, as far as the gate asks.

    broken: market -> rule of the data contract that its bars break, of `markets` in all. scrambled: partitions whose
    bars are not those that the sources gave. newest: live source -> end and length of its newest bar, nothing for
    historical data. without_costs: kinds of market traded for which nothing says what a trade costs. leaks: features
    and labels found to see the future. not_tested: features and labels that no cut could test. drift: feature -> PSI of
    the newest rows against those trained on. assessment: of the model, as metrics.json has it.
    """

    broken: Mapping[str, str] = field(default_factory=dict)
    markets: int = 0
    scrambled: Sequence[str] = ()
    newest: Mapping[str, tuple[datetime, timedelta]] = field(default_factory=dict)
    without_costs: Sequence[str] = ()
    leaks: Sequence[str] = ()
    not_tested: Sequence[str] = ()
    drift: Mapping[str, float] = field(default_factory=dict)
    assessment: Mapping[str, Any] = field(default_factory=dict)


def refusals(facts: Facts, limits: Limits, now: datetime | None = None) -> list[str]:
    """Every reason to refuse the release, in the order of the checks; empty where it may go out. `now` is the clock's
    time, None where data are judged by themselves."""
    found = [
        _contract(facts),
        _scrambled(facts),
        _stale(facts, limits, now),
        _costs(facts),
        _leaks(facts),
        _skill(facts, limits),
        _not_tested(facts),
        _drift(facts, limits),
        _edge(facts, limits),
    ]
    return [one for one in found if one]


def _contract(facts: Facts) -> str:
    if not facts.broken:
        return ""
    market, rule = min(facts.broken.items())
    count = len(facts.broken)
    whose = (
        f"of {market}" if count == 1 else f"of all {count} markets" if count == facts.markets else f"of {count} markets"
    )
    return f"the data contract is broken by bars {whose}: {rule}"


def _scrambled(facts: Facts) -> str:
    if not facts.scrambled:
        return ""
    return (
        f"bars are not what the sources gave in {len(facts.scrambled)} partition(s), the first {facts.scrambled[0]}: "
        "compute features again with `agent mark-dirty features`"
    )


def _stale(facts: Facts, limits: Limits, now: datetime | None) -> str:
    if now is None or limits.max_age_bars is None or not facts.newest:
        return ""
    ages = {name: (now - end) / length for name, (end, length) in facts.newest.items()}
    oldest = max(ages, key=lambda name: ages[name])
    if ages[oldest] <= limits.max_age_bars:
        return ""
    return (
        f"the data of {oldest} are stale: its newest bar was over {ages[oldest]:,.1f} bars ago "
        f"({facts.newest[oldest][0]:%Y-%m-%d %H:%M} UTC), max_age_bars is {limits.max_age_bars:g}"
    )


def _costs(facts: Facts) -> str:
    if not facts.without_costs:
        return ""
    kinds = ", ".join(facts.without_costs)
    return f"nothing says what trading costs in markets of kind {kinds}: set [markets.costs.{facts.without_costs[0]}]"


def _leaks(facts: Facts) -> str:
    return f"a leak was found: {', '.join(facts.leaks)} changes with later bars" if facts.leaks else ""


def _skill(facts: Facts, limits: Limits) -> str:
    if limits.accept_skill:
        return ""
    direction, ic = (facts.assessment.get(name) or {} for name in ("direction", "ic"))
    low = direction.get("low")
    if direction and low is not None and direction["value"] > SKILL_DIRECTION and low > SKILL_DIRECTION_LOW:
        said = f"a direction score of {direction['value']:.3f} [{number_text(low, 3)}, …]"
    elif ic and ic["value"] > SKILL_COEFFICIENT:
        said = f"an information coefficient of {ic['value']:.3f}"
    else:
        return ""
    return (
        f"a leak is likely: {said} is more than markets allow; find the feature that knows the outcome, or write "
        '[publish] accept_skill = "why you believe it"'
    )


def _not_tested(facts: Facts) -> str:
    if not facts.not_tested:
        return ""
    shown = ", ".join(facts.not_tested[:5]) + (" …" if len(facts.not_tested) > 5 else "")
    return f"not tested for leaks, for want of values on both sides of a cut: {shown}"


def _drift(facts: Facts, limits: Limits) -> str:
    from statistics import median

    if limits.max_drift is None or not facts.drift or median(facts.drift.values()) <= limits.max_drift:
        return ""
    worst = max(facts.drift, key=lambda name: facts.drift[name])
    return (
        f"the features have drifted from those the model was trained on: their median PSI is "
        f"{median(facts.drift.values()):.3f}, max_drift is {limits.max_drift:g}, most in {worst}"
    )


def _edge(facts: Facts, limits: Limits) -> str:
    if not limits.require_edge or facts.assessment.get("tradable"):
        return ""
    return f'the model is not tradable, and require = "edge": {facts.assessment.get("reason") or "it was not assessed"}'
