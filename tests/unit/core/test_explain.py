"""Sentences, as people read them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.explain import chain, dirty_text, found_text, mark_text, plan_lines, sentence
from agent.core.model import (
    ASSUMED,
    IF_DIFFERENT,
    Block,
    Code,
    Compute,
    Defer,
    Mark,
    Plan,
    Reason,
    Skip,
    Spec,
    State,
    Step,
)
from pipelines.snapshot import EVERYTHING

ONE_DEFINITION = Reason(
    Code.CODE_CHANGED, "pipelines.components.features:RSI_SPAN", "h1", "h2", "pipelines/components/features.py:31"
)
FEE = Reason(Code.SETTINGS_CHANGED, "fee_bps", "2.0", "3.0")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason(Code.NEVER_RUN), "because it has never run"),
        (Reason(Code.MARKED, detail="bad volumes"), "because it was marked by a person (bad volumes)"),
        (Reason(Code.MARKED, "", "2026", "ann", "late"), "because it was marked by a person (ann: late)"),
        (Reason(Code.MARKED, "2013", detail="late"), "because its partition 2013 was marked by a person (late)"),
        (Reason(Code.FORCED), "because it was forced"),
        (Reason(Code.FAILED, detail="disk full"), "because its last attempt failed (disk full)"),
        (ONE_DEFINITION, "because RSI_SPAN in features.py (line 31) changed"),
        (
            Reason(Code.CODE_CHANGED, "a.m:X, a.m:<module>", "c1", "c2", "a/m.py:3, a/m.py:1"),
            "because X in m.py (line 3) and code outside functions in m.py (line 1) changed",
        ),
        (
            Reason(Code.CODE_CHANGED, "m:A, m:B, m:C, m:D, m:E", "c1", "c2", "m.py:1, m.py:2, removed, m.py:4, m.py:5"),
            "because A in m.py (line 1), B in m.py (line 2), C in m.py (removed) and 2 more changed",
        ),
        (Reason(Code.CODE_CHANGED, "", "c1", "c2"), "because the code of features changed"),
        (FEE, "because the setting fee_bps changed from 2.0 to 3.0"),
        (Reason(Code.SETTINGS_CHANGED, "kind", None, '"lightgbm"'), "because the setting kind is new (lightgbm)"),
        (Reason(Code.SETTINGS_CHANGED, "kind", '"x"', None), "because the setting kind is gone (it was x)"),
        (
            Reason(Code.SETTINGS_CHANGED, detail="a setting whose value is not shown"),
            "because a setting whose value is not shown changed",
        ),
        (Reason(Code.LIBRARY_CHANGED, "polars", "2.1", "2.2"), "because the library polars changed from 2.1 to 2.2"),
        (
            Reason(Code.INPUT_CHANGED, "ticks", "0123456789", "abcdefghij"),
            "because ticks changed (version 01234567 → abcdefgh)",
        ),
        (Reason(Code.INPUT_CHANGED, "ticks", None, "abc"), "because it has not read ticks yet"),
        (
            Reason(Code.INPUT_CHANGED, "ticks", "abc", None, "it is no input any more"),
            "because ticks is no longer one of its inputs",
        ),
        (Reason(Code.INPUT_CHANGED, "ticks", "abc", None, IF_DIFFERENT), "if ticks comes out different"),
        (Reason(Code.INPUT_CHANGED, "ticks", "abc", None, ASSUMED), "if ticks changes"),
        (Reason(Code.SOURCE_NEW_DATA, "sample", "a", "b"), "because there is new data in the source sample"),
        (Reason(Code.SOURCE_NEW_DATA, "sample", None, "b"), "because the source sample is new"),
        (Reason(Code.SOURCE_NEW_DATA, "sample", "a", None), "because the source sample is no longer configured"),
        (Reason(Code.SOURCE_NEW_DATA, "sample", "a", None, ASSUMED), "if there is new data in the source sample"),
        (Reason(Code.OUTPUT_MISSING, "2013"), "because its file 2013 is missing"),
        (Reason(Code.OUTPUT_ALTERED, "2013"), "because its file 2013 is no longer what was written"),
        (
            Reason(Code.OUTPUT_MISSING, detail="9 partitions: a, b, …"),
            "because 9 partitions: a, b, … are missing",
        ),
        (
            Reason(Code.TOO_OLD, "", "7200", "3600", "seconds"),
            "because its sources were last read 7200 s ago, more than 3600 s",
        ),
        (Reason(Code.RETRAIN_DUE, detail="drift 0.3 > 0.2"), "because retraining is due (drift 0.3 > 0.2)"),
    ],
)
def test_sentences(reason: Reason, words: str) -> None:
    assert sentence("features", reason) == f"features runs {words}"


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_sentence(code: Code) -> None:
    assert sentence("features", Reason(code, "x", "a", "b", "d")).startswith("features runs because ")


def test_what_was_found_leaves_the_mark_out() -> None:
    mark = Reason(Code.MARKED, detail="bad volumes", new="ann")
    assert found_text("features", [mark, FEE]) == "the setting fee_bps changed from 2.0 to 3.0"
    assert found_text("features", [mark]) is None


def test_a_flag_says_the_mark_first_and_then_what_was_found() -> None:
    state = State("features", dirty_reason="ticks changed", mark=Mark("ann", reason="bad volumes"))
    assert dirty_text(state) == "ann: bad volumes; ticks changed"
    assert dirty_text(replace(state, mark=None)) == "ticks changed"
    assert dirty_text(replace(state, dirty_reason=None)) == "ann: bad volumes"
    assert dirty_text(State("features")) is None


def test_a_mark_without_words_gets_some() -> None:
    assert mark_text("ann", "") == "ann gave no reason"
    assert mark_text("SQL as postgres", "") == mark_text("", "") == "marked without a reason"
    assert mark_text("SQL", "ann: late") == mark_text("HTTP", "ann: late") == "ann: late"


def test_a_plan_is_a_line_a_step() -> None:
    plan = Plan(
        (
            Skip("markets", "0123456789"),
            Compute("features", (ONE_DEFINITION,), False, {"ticks": ("2012",)}, 2.04),
            Compute("inference", (Reason(Code.INPUT_CHANGED, "features", "a", None, IF_DIFFERENT),), True),
            Defer("model", (Reason(Code.INPUT_CHANGED, "features", "a", "b"),), "500 new rows (120 so far)"),
            Block("publish", "backtest"),
        )
    )
    assert plan_lines(plan) == [
        "markets    skip      up to date (version 01234567)",
        "features   compute   because RSI_SPAN in features.py (line 31) changed (ticks: 2012), about 2.0 s",
        "inference  compute?  if features comes out different",
        "model      defer     until 500 new rows (120 so far), though features changed (version a → b)",
        "publish    block     by backtest",
    ]
    assert plan_lines(Plan(())) == []
    assert plan_lines(Plan((Compute("x", (FEE,), expected_rows=30000),)))[0].endswith("3.0, about 30,000 rows")
    assert plan_lines(Plan((Compute("x", (FEE,), expected_rows=1),)))[0].endswith("3.0, about 1 row")


SPECS = {
    name: Spec(name, dict.fromkeys(reads, EVERYTHING))
    for name, reads in {
        "ticks": [],
        "features": ["ticks"],
        "model": ["features"],
        "backtest": ["features", "model"],
        "publish": ["model", "backtest"],
    }.items()
}


def test_a_chain_goes_from_the_cause_to_the_component_and_leaves_out_what_it_does_not_rest_on() -> None:
    steps: dict[str, Step] = {
        "ticks": Compute("ticks", (Reason(Code.SOURCE_NEW_DATA, "sample", "a", "b"),)),
        "features": Skip("features"),
        "model": Skip("model"),
        "backtest": Compute("backtest", (FEE,)),
        "publish": Compute("publish", (Reason(Code.INPUT_CHANGED, "backtest", "a", None, IF_DIFFERENT),), True),
    }
    assert chain("publish", SPECS, steps) == [
        "backtest runs because the setting fee_bps changed from 2.0 to 3.0",
        "publish runs if backtest comes out different",
    ]


def test_a_chain_follows_blocks_and_deferrals() -> None:
    failed = Reason(Code.FAILED, detail="disk full")
    steps: dict[str, Step] = {
        "features": Defer("features", (failed,), "12:00, after 1 failure in a row"),
        "model": Block("model", "features"),
        "backtest": Block("backtest", "model", (FEE,)),
    }
    assert chain("backtest", SPECS, steps) == [
        "features is stale because its last attempt failed (disk full)",
        "features is deferred until 12:00, after 1 failure in a row",
        "model is blocked by features",
        "backtest is stale because the setting fee_bps changed from 2.0 to 3.0",
        "backtest is blocked by model",
    ]


def test_a_past_run_is_told_in_the_past_and_a_condition_as_one() -> None:
    maybe = Reason(Code.INPUT_CHANGED, "ticks", "a", None, IF_DIFFERENT)
    steps: dict[str, Step] = {"features": Block("features", "ticks", (FEE, maybe)), "ticks": Skip("ticks", "b")}
    assert chain("features", SPECS, steps, verb="ran") == [
        "features was stale because the setting fee_bps changed from 2.0 to 3.0",
        "features was stale if ticks comes out different",
        "features was blocked by ticks",
    ]
    assert chain("ticks", SPECS, steps, verb="ran") == ["ticks was up to date (version b)"]


def test_a_chain_ends_where_an_earlier_run_made_the_change() -> None:
    changed = Reason(Code.INPUT_CHANGED, "ticks", "a", "b")
    steps: dict[str, Step] = {"ticks": Skip("ticks", "b"), "features": Compute("features", (changed,))}
    assert chain("features", SPECS, steps) == ["features runs because ticks changed (version a → b)"]


def test_a_chain_of_what_is_up_to_date_says_so() -> None:
    assert chain("ticks", SPECS, {"ticks": Skip("ticks", "0123456789")}) == ["ticks is up to date (version 01234567)"]


def test_inputs_that_may_differ_are_told_in_one_condition() -> None:
    maybe = [Reason(Code.INPUT_CHANGED, name, "a", None, IF_DIFFERENT) for name in ("ticks", "features", "model")]
    step = Compute("publish", (FEE, *maybe), True)
    assert chain("publish", SPECS, {"publish": step}, verb="ran") == [
        "publish ran because the setting fee_bps changed from 2.0 to 3.0",
        "publish ran if ticks, features or model comes out different",
    ]
    assert plan_lines(Plan((Compute("publish", tuple(maybe)),))) == [
        "publish  compute   if ticks, features or model comes out different"
    ]


def test_a_source_is_told_with_the_parts_that_changed_or_its_fault() -> None:
    changed = Reason(Code.SOURCE_NEW_DATA, "files", "a", "b", "prices.csv changed")
    assert sentence("ticks", changed) == "ticks runs because there is new data in the source files (prices.csv changed)"
    silent = Reason(Code.SOURCE_NEW_DATA, "files", "a", "unreachable: no file matches 'x'")
    assert sentence("ticks", silent).endswith("the source files does not answer (no file matches 'x')")
