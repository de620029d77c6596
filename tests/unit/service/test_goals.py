"""Goals in words: what each comes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.service.goals import read_goal, read_targets

SEVEN = ("markets", "ticks", "features", "model", "inference", "backtest", "publish")


@pytest.mark.parametrize(
    ("goal", "targets", "force"),
    [
        ("publish", (), ()),
        ("Publish a new release", (), ()),
        ("refresh features", ("features",), ()),
        ("refresh the ticks and the features", ("ticks", "features"), ()),
        ("a new feature", ("features",), ()),
        ("retrain", (), ("model",)),
        ("Retrain the model!", (), ("model",)),
        ("recompute features", ("features",), ("features",)),
        ("rebuild ticks and publish", (), ("ticks", "publish")),
        ("Test execution", (), ()),
        ("Test from UI", (), ()),
        ("", (), ()),
    ],
)
def test_goals(goal: str, targets: tuple[str, ...], force: tuple[str, ...]) -> None:
    intent = read_goal(goal, SEVEN)
    assert (intent.targets, intent.force) == (targets, force)
    assert intent.meaning


def test_free_text_says_that_it_names_nothing() -> None:
    assert "names no component" in read_goal("Test execution", SEVEN).meaning
    assert "names no component" not in read_goal("publish", SEVEN).meaning


@given(st.text())
def test_any_goal_means_something_that_can_be_run(goal: str) -> None:
    intent = read_goal(goal, SEVEN)
    assert set(intent.targets) | set(intent.force) <= set(SEVEN)
    # What is forced must lie within the targets, or the run could not be planned.
    assert not intent.targets or set(intent.force) <= set(intent.targets)


def test_unknown_targets_are_refused_with_what_is_possible() -> None:
    assert read_targets(["publish", "ticks"], SEVEN).targets == ("ticks", "publish")
    with pytest.raises(UsageError) as refused:
        read_targets(["ticks", "tick"], SEVEN)
    assert "'tick'" in refused.value.what
    assert "features" in refused.value.fix
