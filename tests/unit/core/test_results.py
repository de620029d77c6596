"""What two computations are the same by, and when an earlier result may be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.core.events import CutOff, Finished, RunCompleted
from agent.core.explain import UNREACHABLE, event_sentence, plan_lines
from agent.core.model import Code, Compute, InputRecord, Plan, Reason, Reuse
from agent.core.plan_json import plan_from_json, plan_to_json
from agent.core.results import Ingredients, as_read, distrust, fingerprint, is_pure, may_be_taken

BASE = Ingredients(
    component="total",
    format=2,
    program="0.1.0",
    code="c1",
    declared_version=None,
    settings_hash="s1",
    inputs={"numbers": "n1", "ticks": "t1"},
    sources={"source:files": "p1"},
    environment={"polars": "2.1.0", "python": "3.12"},
)
OTHERS: list[dict[str, Any]] = [
    {"component": "sum"},
    {"format": 3},
    {"program": "0.1.1"},
    {"code": "c2"},
    {"declared_version": "1"},
    {"settings_hash": "s2"},
    {"inputs": {"numbers": "t1", "ticks": "n1"}},
    {"inputs": {"numbers": "n1"}},
    {"sources": {"source:files": "p2"}},
    {"sources": {"source:other": "p1"}},
    {"environment": {"polars": "2.1.1", "python": "3.12"}},
    {"environment": {"polars": "2.1.0", "python": "3.13"}},
    {"environment": {"polars": "2.1.0", "python": "3.12", "numba": "0.62.1"}},
]
REUSE = Reuse(snapshot_id=7, version="abcdef0123", attempt_id=34, run_id=12, fingerprint="f1")


def test_whatever_differs_makes_another_fingerprint() -> None:
    found = [fingerprint(BASE), *(fingerprint(replace(BASE, **other)) for other in OTHERS)]
    assert None not in found
    assert len(set(found)) == len(OTHERS) + 1
    in_other_order = replace(BASE, inputs={"ticks": "t1", "numbers": "n1"})
    assert fingerprint(in_other_order) == fingerprint(BASE)


def test_what_may_depend_on_more_has_no_fingerprint() -> None:
    assert fingerprint(replace(BASE, is_timeless=False)) is None
    assert fingerprint(replace(BASE, sources={"source:files": f"{UNREACHABLE}no answer"})) is None


@pytest.mark.parametrize("code", list(Code))
def test_a_result_is_taken_only_where_nobody_doubts_it(code: Code) -> None:
    doubted = {Code.MARKED, Code.FORCED, Code.TOO_OLD, Code.OUTPUT_MISSING, Code.OUTPUT_ALTERED}
    assert may_be_taken([Reason(code)]) == (code not in doubted)
    assert may_be_taken([Reason(Code.SETTINGS_CHANGED), Reason(code)]) == (code not in doubted)
    doubt = distrust([Reason(Code.SETTINGS_CHANGED), Reason(code)])
    assert (doubt is not None) == (code in {Code.MARKED, Code.FORCED})


def test_a_source_that_moved_makes_a_success_impure_and_is_read_again() -> None:
    before = {"source:files": "p1", "source:feed": "q1"}
    assert is_pure(before, dict(before), ())
    assert not is_pure(before, dict(before), ("it opened a file",))
    assert not is_pure(before, {"source:files": "p1"}, ())  # the other one does not answer
    assert not is_pure(before, {**before, "source:feed": "q2"}, ())
    inputs = {name: InputRecord(0, version, version) for name, version in before.items()}
    inputs["numbers"] = InputRecord(4, "n1", "n1")
    assert as_read(inputs, before) == inputs
    assert as_read(inputs, {"source:files": "p1"}) == inputs
    moved = as_read(inputs, {**before, "source:feed": "q2"})
    assert {name for name, one in moved.items() if one != inputs[name]} == {"source:feed"}
    assert moved["source:feed"].version not in ("q1", "q2")
    assert moved["source:feed"].read_version not in ("q1", "q2")


def test_a_plan_says_where_a_result_was_computed() -> None:
    step = Compute("total", (Reason(Code.SETTINGS_CHANGED, "factor", "2", "1"),), reuse=REUSE)
    plan = Plan((step, replace(step, component="noted", reuse=None)))
    assert plan_lines(plan) == [
        "total  reuse     computed in run 12, because the setting factor changed from 2 to 1",
        "noted  compute   because the setting factor changed from 2 to 1",
    ]
    assert plan_from_json(plan_to_json(plan)) == plan
    assert "reuse" not in plan_to_json(plan)[1]


def test_events_say_what_was_taken() -> None:
    done = Finished("total", 35, 4, {}, "abcdef0123", 3, 0.1, 0, 1, (), reused_run=12)
    assert event_sentence(done) == "total took what run 12 had computed, version abcdef01: new"
    same = CutOff("total", 35, 4, {}, "abcdef0123", 3, 0.1, 0, 1, (), reused_run=12)
    assert event_sentence(same) == "total took what run 12 had computed, version abcdef01: the same as before"
    over = RunCompleted(None, computed=("noted",), failed=(), reused=("total", "board"))
    assert event_sentence(over) == "completed: computed noted; took from earlier runs total, board"
    assert event_sentence(replace(over, computed=(), reused=None)) == "completed: nothing was due"
