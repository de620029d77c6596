"""The eight refusals, each with its own sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.gate import Facts, Limits, refusals

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BAR = timedelta(minutes=5)
GOOD = Facts(
    markets=2,
    newest={"feed": (NOW - timedelta(minutes=10), BAR), "slow": (NOW - timedelta(days=2), timedelta(days=1))},
    drift={"a": 0.01, "b": 0.02},
    assessment={
        "tradable": True,
        "reason": "",
        "direction": {"value": 0.55, "low": 0.52, "high": 0.58},
        "ic": {"value": 0.05, "low": 0.01, "high": 0.09},
    },
)
STRICT = Limits(max_drift=0.25, max_age_bars=3, require_edge=True)
DIRECTION = {"direction": {"value": 0.7, "low": 0.61, "high": 0.8}}

REFUSED = {
    "contract of one": ({"broken": {"t:A": "low > high"}}, "the data contract is broken by bars of t:A: low > high"),
    "contract of all": (
        {"broken": {"t:A": "x", "t:B": "y"}},
        "the data contract is broken by bars of all 2 markets: x",
    ),
    "scrambled": ({"scrambled": ("bars/2018",)}, "bars are not what the sources gave in 1 partition(s), the first"),
    "stale": (
        {"newest": {**GOOD.newest, "feed": (NOW - timedelta(hours=1), BAR)}},
        "the data of feed are stale: its newest bar was over 12.0 bars ago (2026-01-01 23:00 UTC), max_age_bars is 3",
    ),
    "costs": ({"without_costs": ("oil",)}, "nothing says what trading costs in markets of kind oil"),
    "leak": ({"leaks": ("oracle",)}, "a leak was found: oracle changes with later bars"),
    "direction": ({"assessment": {**GOOD.assessment, **DIRECTION}}, "a leak is likely: a direction score of 0.700"),
    "coefficient": (
        {"assessment": {**GOOD.assessment, "ic": {"value": 0.31, "low": 0.3, "high": 0.4}}},
        "a leak is likely: an information coefficient of 0.310",
    ),
    "not tested": ({"not_tested": ("slow", "empty")}, "not tested for leaks, for want of values"),
    "drift": ({"drift": {"a": 0.3, "b": 0.9}}, "the features have drifted"),
    "edge": (
        {"assessment": {**GOOD.assessment, "tradable": False, "reason": "NO EDGE: x"}},
        'the model is not tradable, and require = "edge": NO EDGE: x',
    ),
}


def test_a_sound_release_goes_out() -> None:
    assert refusals(GOOD, STRICT, NOW) == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_its_own_sentence(name: str) -> None:
    changed, says = REFUSED[name]
    found = refusals(replace(GOOD, **changed), STRICT, NOW)
    assert len(found) == 1
    assert found[0].startswith(says)


def test_the_sentences_are_told_apart() -> None:
    assert len({says for _, says in REFUSED.values()}) == len(REFUSED)


@given(st.sets(st.sampled_from(sorted(set(REFUSED) - {"contract of one", "direction", "coefficient", "edge"}))))
def test_every_reason_is_named_whatever_else_is_wrong(names: set[str]) -> None:
    changed: dict[str, object] = {}
    for name in names:
        changed |= REFUSED[name][0]
    found = refusals(replace(GOOD, **changed), STRICT, NOW)
    assert len(found) == len(names)
    for name in names:
        assert any(one.startswith(REFUSED[name][1]) for one in found)


def test_what_is_not_limited_passes() -> None:
    ancient = {"feed": (NOW - timedelta(days=900), BAR)}
    old = replace(GOOD, newest=ancient, drift={"a": 9.0}, assessment={"tradable": False})
    assert refusals(old, Limits(), NOW) == []
    assert refusals(replace(GOOD, newest=ancient), STRICT, None) == []
    assert refusals(replace(GOOD, newest={}), STRICT, NOW) == []


def test_believed_skill_passes_with_its_reason() -> None:
    skilled = replace(GOOD, assessment={**GOOD.assessment, **DIRECTION})
    assert refusals(skilled, replace(STRICT, accept_skill="the market is a test"), NOW) == []


def test_a_high_score_that_may_be_chance_passes() -> None:
    unsure = {"direction": {"value": 0.7, "low": 0.55, "high": 0.85}}
    assert refusals(replace(GOOD, assessment={**GOOD.assessment, **unsure}), STRICT, NOW) == []
