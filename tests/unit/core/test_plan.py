"""What is decided for one component, and what a plan foresees for all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.explain import chain, plan_lines
from agent.core.model import (
    ASSUMED,
    IF_DIFFERENT,
    Block,
    Code,
    Compute,
    Current,
    Defer,
    InputRecord,
    Mark,
    Plan,
    Reason,
    Skip,
    Spec,
    State,
)
from agent.core.plan import Outlook, decide_step, make_plan, why_unavailable
from agent.core.plan_json import plan_from_json, plan_to_json, reasons_from_json, reasons_to_json
from agent.errors import UsageError
from pipelines.snapshot import EVERYTHING

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
UPSTREAM: dict[str, list[str]] = {
    "ticks": [],
    "features": ["ticks"],
    "model": ["features"],
    "publish": ["model", "features"],
}
WAITING = Outlook(deferrals={"model": "500 new rows"})
SPECS = {name: Spec(name, dict.fromkeys(reads, EVERYTHING), not reads) for name, reads in UPSTREAM.items()}


def record(name: str, version: str = "v1") -> InputRecord:
    return InputRecord(1, f"{name} {version}", f"{name} {version}")


def clean(name: str) -> tuple[State, Current]:
    inputs = {up: record(up) for up in UPSTREAM[name]} or {"source:files": record("source:files")}
    state = State(
        name,
        is_dirty=False,
        last_run_at=NOW,
        code_version="c1",
        settings_hash="s1",
        inputs=inputs,
        output_version=f"{name} v1",
        output_snapshot_id=1,
    )
    return state, Current(code_version="c1", settings_hash="s1", inputs=inputs)


@pytest.fixture
def states() -> dict[str, State]:
    return {name: clean(name)[0] for name in SPECS}


@pytest.fixture
def currents() -> dict[str, Current]:
    return {name: clean(name)[1] for name in SPECS}


def decide(state: State, current: Current, **more: Any) -> Any:
    return decide_step(SPECS[state.component], state, current, **{"now": NOW, "unavailable": {}, **more})


def steps(plan: Plan) -> dict[str, Any]:
    return {step.component: step for step in plan.steps}


def kinds(plan: Plan) -> dict[str, str]:
    return {step.component: type(step).__name__ for step in plan.steps}


def test_clean_is_skipped_with_its_version() -> None:
    assert decide(*clean("model")) == Skip("model", version="model v1")


def test_stale_is_computed() -> None:
    state, current = clean("model")
    step = decide(state, replace(current, code_version="c2"))
    assert isinstance(step, Compute)
    assert [reason.code for reason in step.reasons] == [Code.CODE_CHANGED]


def test_downstream_of_a_failure_is_blocked_stale_or_not() -> None:
    state, current = clean("model")
    assert decide(state, current, unavailable={"features": "failed"}) == Block("model", by="features")
    stale = decide(state, replace(current, code_version="c2"), unavailable={"features": "failed"})
    assert stale.by == "features"
    assert [reason.code for reason in stale.reasons] == [Code.CODE_CHANGED]


def test_an_upstream_without_output_blocks() -> None:
    assert decide(State("model"), Current("c1", "s1")).by == "features"


def test_a_failure_waits_for_its_time_in_scheduled_mode_only() -> None:
    state, current = clean("model")
    failed = replace(state, status="failed", consecutive_failures=2, next_retry_at=NOW + timedelta(seconds=90))
    waiting = decide(failed, current, manual=False)
    assert isinstance(waiting, Defer)
    assert waiting.until == "2026-03-01 12:01:30 UTC, after 2 failures in a row"
    assert isinstance(decide(failed, current, manual=True), Compute)
    assert isinstance(decide(failed, current, manual=False, now=NOW + timedelta(seconds=90)), Compute)
    assert isinstance(decide(replace(failed, mark=Mark()), current, manual=False), Compute)


def test_a_policy_defers_new_inputs_and_nothing_else() -> None:
    state, current = clean("model")
    changed = replace(current, inputs={"features": record("features", "v2")})
    waiting = decide(state, changed, deferral="500 new rows (120 so far)")
    assert isinstance(waiting, Defer)
    assert waiting.until == "500 new rows (120 so far)"
    assert isinstance(decide(state, replace(changed, settings_hash="s2"), deferral="500 new rows"), Compute)
    assert isinstance(decide(state, changed, deferral="500 new rows", forced=True), Compute)
    assert isinstance(decide(replace(state, status="failed"), changed, deferral="500 new rows"), Compute)
    assert isinstance(decide(state, current, deferral="500 new rows"), Skip)


def test_what_lies_downstream_may_read_a_deferred_model_but_not_a_failed_one() -> None:
    reason = Reason(Code.INPUT_CHANGED, "features")
    assert why_unavailable(Defer("model", (reason,), until="500 new rows")) is None
    assert why_unavailable(Defer("model", (Reason(Code.FAILED),), until="retry at …")) == "failed (retry at …)"
    assert why_unavailable(Block("model", by="ticks")) == "blocked by ticks"
    assert why_unavailable(Skip("model")) is None
    assert why_unavailable(Compute("model", (reason,))) is None


def test_a_clean_project_has_an_empty_plan(states: dict[str, State], currents: dict[str, Current]) -> None:
    plan = make_plan(SPECS, states, currents, now=NOW)
    assert plan.is_empty
    assert [step.component for step in plan.steps] == ["ticks", "features", "model", "publish"]


def test_a_new_project_runs_everything_for_sure() -> None:
    currents = {name: Current("c1", "s1") for name in SPECS}
    plan = make_plan(SPECS, {name: State(name) for name in SPECS}, currents, now=NOW)
    assert set(kinds(plan).values()) == {"Compute"}
    assert all(step.reasons == (Reason(Code.NEVER_RUN),) and not step.may_be_cut_off for step in steps(plan).values())


def test_what_an_upstream_step_may_bring_is_foreseen_and_may_be_cut_off(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    currents["features"] = replace(currents["features"], code_version="c2")
    plan = steps(make_plan(SPECS, states, currents, now=NOW))
    assert isinstance(plan["ticks"], Skip)
    assert not plan["features"].may_be_cut_off
    assert plan["model"].may_be_cut_off
    assert plan["model"].reasons == (
        Reason(Code.INPUT_CHANGED, "features", old="features v1", new=None, detail=IF_DIFFERENT),
    )
    assert [reason.subject for reason in plan["publish"].reasons] == ["model", "features"]


def test_a_change_that_is_there_already_is_not_called_uncertain(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    currents["ticks"] = replace(currents["ticks"], inputs={"source:files": record("source:files", "v2")})
    currents["features"] = replace(currents["features"], inputs={"ticks": record("ticks", "v2")})
    step = steps(make_plan(SPECS, states, currents, now=NOW))["features"]
    assert step.reasons == (Reason(Code.INPUT_CHANGED, "ticks", old="ticks v1", new="ticks v2"),)
    assert not step.may_be_cut_off


def test_a_step_with_a_cause_of_its_own_is_not_cut_off(states: dict[str, State], currents: dict[str, Current]) -> None:
    currents["features"] = replace(currents["features"], code_version="c2")
    currents["model"] = replace(currents["model"], settings_hash="s2", settings={"seed": 2})
    step = steps(make_plan(SPECS, states, currents, now=NOW))["model"]
    assert [reason.code for reason in step.reasons] == [Code.SETTINGS_CHANGED, Code.INPUT_CHANGED]
    assert not step.may_be_cut_off


def test_history_and_changed_partitions_are_told_where_it_computes(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    currents["model"] = replace(currents["model"], code_version="c2")
    plan = make_plan(
        SPECS,
        states,
        currents,
        now=NOW,
        outlook=Outlook(history={"model": (2.5, 1000), "ticks": (9.0, 9)}, changed={"model": {"features": ("2013",)}}),
    )
    step = steps(plan)["model"]
    assert (step.expected_seconds, step.expected_rows) == (2.5, 1000)
    assert step.changed == {"features": ("2013",)}


def test_targets_include_what_lies_upstream_and_nothing_else(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    plan = make_plan(SPECS, states, currents, targets=["model"], now=NOW)
    assert list(kinds(plan)) == ["ticks", "features", "model"]


def test_forced_components_run(states: dict[str, State], currents: dict[str, Current]) -> None:
    plan = make_plan(SPECS, states, currents, force=["features"], now=NOW)
    assert kinds(plan) == {"ticks": "Skip", "features": "Compute", "model": "Compute", "publish": "Compute"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"targets": ["modle"]}, "no component 'modle'"),
        ({"force": ["modle"]}, "no component 'modle'"),
        ({"targets": ["model"], "force": ["publish"]}, "publish cannot be forced: no target needs it"),
        ({"assume_changed": ["source:nope"]}, "no component or source 'source:nope'"),
    ],
)
def test_wrong_names_are_refused(
    asked: dict[str, Any], words: str, states: dict[str, State], currents: dict[str, Current]
) -> None:
    with pytest.raises(UsageError, match=words):
        make_plan(SPECS, states, currents, now=NOW, **asked)


def test_what_would_happen_if(states: dict[str, State], currents: dict[str, Current]) -> None:
    if_ticks = make_plan(SPECS, states, currents, now=NOW, assume_changed=["ticks"])
    assert kinds(if_ticks) == {"ticks": "Skip", "features": "Compute", "model": "Compute", "publish": "Compute"}
    assert steps(if_ticks)["features"].reasons[0].detail == ASSUMED
    assert not steps(if_ticks)["features"].may_be_cut_off
    assert steps(if_ticks)["model"].may_be_cut_off
    if_source = steps(make_plan(SPECS, states, currents, now=NOW, assume_changed=["source:files"]))
    assert if_source["ticks"].reasons[0].code == Code.SOURCE_NEW_DATA
    assert if_source["ticks"].reasons[0].detail == ASSUMED


def test_a_failure_that_waits_blocks_what_lies_downstream(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    states["features"] = replace(states["features"], status="failed", next_retry_at=NOW + timedelta(minutes=1))
    plan = make_plan(SPECS, states, currents, now=NOW, manual=False)
    assert kinds(plan) == {"ticks": "Skip", "features": "Defer", "model": "Block", "publish": "Block"}
    assert kinds(make_plan(SPECS, states, currents, now=NOW, manual=True))["model"] == "Compute"


def test_a_policys_deferral_leaves_downstream_alone(states: dict[str, State], currents: dict[str, Current]) -> None:
    currents["model"] = replace(currents["model"], inputs={"features": record("features", "v2")})
    plan = make_plan(SPECS, states, currents, now=NOW, outlook=WAITING)
    assert kinds(plan) == {"ticks": "Skip", "features": "Skip", "model": "Defer", "publish": "Skip"}
    assert plan.is_empty


def test_a_deferral_is_not_foretold_while_its_inputs_are_due(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    """What a policy says of the inputs of now does not hold for those that the run is about to make."""
    currents["model"] = replace(currents["model"], inputs={"features": record("features", "v2")})
    plan = make_plan(SPECS, states, currents, force=["features"], now=NOW, outlook=WAITING)
    step = steps(plan)["model"]
    assert isinstance(step, Compute)
    assert (step.may_be_cut_off, step.unless) == (True, "500 new rows")
    assert plan_lines(plan)[2].endswith(", unless it waits until 500 new rows")
    assert chain("model", SPECS, steps(plan))[-1].endswith(", unless it waits until 500 new rows")
    assumed = make_plan(
        SPECS,
        states,
        currents,
        assume_changed=["features"],
        now=NOW,
        outlook=WAITING,
    )
    assert isinstance(steps(assumed)["model"], Compute)


def test_a_policy_is_not_foretold_where_inputs_get_another_meaning(
    states: dict[str, State], currents: dict[str, Current]
) -> None:
    currents["features"] = replace(currents["features"], settings_hash="s2")
    step = steps(make_plan(SPECS, states, currents, now=NOW, outlook=WAITING))["model"]
    assert isinstance(step, Compute)
    assert step.unless is None


def test_a_plan_survives_json(states: dict[str, State], currents: dict[str, Current]) -> None:
    reason = Reason(Code.INPUT_CHANGED, "features", old="a", new=None, detail=IF_DIFFERENT)
    plan = Plan(
        (
            Compute("ticks", (reason,), True, {"x": ("2012", "2013")}, 1.5, 7, "500 new rows"),
            Skip("features", "v"),
            Defer("model", (reason, Reason(Code.TOO_OLD)), "later"),
            Block("publish", "model", (reason,)),
        )
    )
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
    assert plan_to_json(plan)[0]["step"] == "compute"
    assert reasons_from_json(json.loads(json.dumps(reasons_to_json([reason])))) == (reason,)


def test_a_step_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'dance' is no step"):
        plan_from_json([{"step": "dance", "component": "ticks"}])
