"""The grid of components and runs: what happened in each cell, from attempts and events alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from agent.core.grid import MEANINGS, SIGNS, Column, Outcome, Passed, Tried, evidence_rows, lay_out
from agent.core.model import Code, Reason

AT = datetime(2026, 11, 27, tzinfo=UTC)
NAMES = ("ticks", "model", "publish")


def column(run_id: int, seconds: float | None = 1.0) -> Column:
    return Column(run_id, AT + timedelta(hours=run_id), seconds, "COMPLETED")


def test_each_outcome_has_its_own_sign_and_words() -> None:
    outcomes = set(get_args(Outcome))
    assert SIGNS.keys() == MEANINGS.keys() == outcomes
    assert len(set(SIGNS.values())) == len(set(MEANINGS.values())) == len(outcomes)


def test_cells_say_what_happened() -> None:
    tried = [
        Tried(1, "ticks", "succeeded", False, 2.0),
        Tried(1, "model", "failed", False, 1.0),
        Tried(1, "model", "succeeded", False, 3.0),  # the second try
        Tried(2, "ticks", "succeeded", True, 0.5),
        Tried(2, "model", "crashed", False, None),
        Tried(3, "ticks", "running", False, None),
        Tried(9, "ticks", "succeeded", False, 1.0),  # of a run that is not shown
    ]
    passed = [
        Passed(1, "publish", "skipped"),
        Passed(2, "publish", "deferred"),
        Passed(2, "publish", "blocked"),  # decided again when its turn came
        Passed(2, "old", "skipped"),
        Passed(3, "model", "cut off"),
    ]
    found = lay_out([column(3, None), column(1, 7.0), column(2)], NAMES, tried, passed)
    assert [one.run_id for one in found.columns] == [1, 2, 3]
    assert found.longest == 7.0
    assert {name: [cell.outcome for cell in cells] for name, cells in found.rows} == {
        "ticks": ["computed", "same", "running"],
        "model": ["computed", "crashed", "waiting"],
        "publish": ["up to date", "blocked", "waiting"],
        "old": ["waiting", "up to date", "waiting"],
    }
    assert found.rows[1][1][0].seconds == 3.0
    assert lay_out([], [], [], []).rows == ()


def test_evidence_names_what_changed_from_what_to_what() -> None:
    reasons = [Reason(Code.INPUT_CHANGED, "ticks", "a", "b"), Reason(Code.MARKED, "", None, "ann", "looks odd")]
    assert evidence_rows(reasons) == [("input_changed", "ticks", "a", "b"), ("marked", "looks odd", "–", "ann")]


@given(
    st.lists(
        st.builds(Tried, st.integers(1, 5), st.sampled_from(NAMES), st.just("succeeded"), st.booleans(), st.none())
    ),
    st.lists(st.builds(Passed, st.integers(1, 5), st.sampled_from(NAMES), st.sampled_from(["skipped", "blocked"]))),
    st.sets(st.integers(1, 5)),
)
def test_every_row_has_a_cell_for_every_run(tried: list[Tried], passed: list[Passed], shown: set[int]) -> None:
    found = lay_out(map(column, shown), NAMES, tried, passed)
    assert [name for name, _ in found.rows] == list(NAMES)
    for name, cells in found.rows:
        assert [(cell.run_id, cell.component) for cell in cells] == [(run_id, name) for run_id in sorted(shown)]
