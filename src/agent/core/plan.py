"""What to do about each component: compute, skip, defer or block. Pure.

`decide_step` is asked again after every component of a run; `make_plan` walks the same function ahead of the run, so
that what is shown is what will be done. It cannot know what an upstream step will bring: such steps may be cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import assert_never

from agent.core.graph import order, require_known, upstream_of
from agent.core.model import (
    ASSUMED,
    IF_DIFFERENT,
    Block,
    Code,
    Compute,
    Current,
    Defer,
    InputRecord,
    Plan,
    Reason,
    Skip,
    Spec,
    State,
    Step,
)
from agent.core.staleness import SOURCE, decide_reasons
from agent.errors import UsageError
from pipelines.values import dataclass

_NEW_DATA = {Code.INPUT_CHANGED, Code.SOURCE_NEW_DATA}
_NEW_MEANING = {Code.CODE_CHANGED, Code.SETTINGS_CHANGED}  # of an input: no policy is asked whether to wait
_UNKNOWN = InputRecord(snapshot_id=0, version="?", read_version="?")


def decide_step(
    spec: Spec,
    state: State,
    current: Current,
    *,
    now: datetime,
    unavailable: Mapping[str, str],
    forced: bool = False,
    deferral: str | None = None,
    due: str | None = None,
    manual: bool = True,
) -> Step:
    """What to do about one component now.

    unavailable: upstream name -> why it cannot be read (see `why_unavailable`); upstreams without output count too.
    deferral, due: what a policy says would end the wait, or made it due; heard where new inputs are the sole cause.
    manual: a person asked, so that a failure's backoff is not waited for.
    """
    reasons = decide_reasons(spec, state, current, now=now, forced=forced)
    for name in spec.upstream:
        if name in unavailable or name not in current.inputs:
            return Block(spec.name, by=name, reasons=reasons)
    if not reasons:
        return Skip(spec.name, version=state.output_version)
    codes = {reason.code for reason in reasons}
    by_person = codes & {Code.MARKED, Code.FORCED}
    retry_at = state.next_retry_at
    if Code.FAILED in codes and not manual and not by_person and retry_at is not None and retry_at > now:
        failures = f"{state.consecutive_failures} failure{'s' * (state.consecutive_failures != 1)} in a row"
        return Defer(spec.name, reasons, until=f"{retry_at:%Y-%m-%d %H:%M:%S} UTC, after {failures}")
    if deferral is not None and codes <= _NEW_DATA:
        return Defer(spec.name, reasons, until=deferral)
    if due is not None and codes <= _NEW_DATA:
        reasons = (*reasons, Reason(Code.RETRAIN_DUE, detail=due))
    return Compute(spec.name, reasons)


def why_unavailable(step: Step) -> str | None:
    """Why what lies downstream of `step` must not be computed; None where it may.

    A component that waits to be tried again failed last time; one that its policy defers keeps its earlier output.
    """
    match step:
        case Block(by=by):
            return f"blocked by {by}"
        case Defer(reasons=reasons, until=until) if any(reason.code == Code.FAILED for reason in reasons):
            return f"failed ({until})"
        case _:
            return None


@dataclass(frozen=True)
class Outlook:
    """What is known beside the rows and the versions of now, by component.

    deferrals, dues: as of `decide_step`, from the policies. holders: the process that computes it now; a run would have
    to wait for that one. history: seconds and rows to expect. changed: input -> changed partition keys.
    """

    deferrals: Mapping[str, str] = field(default_factory=dict)
    dues: Mapping[str, str] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, tuple[float | None, int | None]] = field(default_factory=dict)
    changed: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


def make_plan(
    specs: Mapping[str, Spec],
    states: Mapping[str, State],
    currents: Mapping[str, Current],
    *,
    targets: Collection[str] = (),
    force: Collection[str] = (),
    now: datetime,
    manual: bool = True,
    outlook: Outlook | None = None,
    assume_changed: Collection[str] = (),
) -> Plan:
    """The steps for `targets` (none: all) and everything upstream of them, in the order they are performed.

    assume_changed: components, or `source:NAME`, to be taken as changed, for "what would happen if".
    Raises UsageError for a name that is no component, and for one forced outside the targets.
    """
    wanted = _wanted(specs, targets, force)
    _require_inputs(specs, currents, assume_changed)
    outlook = outlook or Outlook()
    steps: dict[str, Step] = {}
    unavailable: dict[str, str] = {}
    for name in order(specs):
        if name not in wanted:
            continue
        planned = {other: IF_DIFFERENT for other, step in steps.items() if isinstance(step, Compute)}
        expected = planned | dict.fromkeys(assume_changed, ASSUMED)
        deferral, is_foreseen = outlook.deferrals.get(name), bool(expected.keys() & specs[name].upstream.keys())
        step = decide_step(
            specs[name],
            states[name],
            _anticipated(states[name], currents[name], specs[name], expected),
            now=now,
            unavailable=unavailable,
            forced=name in force,
            # A policy was asked with the inputs of now: what it says of those to come is not known yet.
            deferral=None if is_foreseen else deferral,
            due=outlook.dues.get(name),
            manual=manual,
        )
        holder = outlook.holders.get(name)
        if holder is not None:
            step = Block(name, holder, () if isinstance(step, Skip) else step.reasons)
        step = _annotated(step, expected, outlook)
        if isinstance(step, Compute) and deferral is not None and _may_wait(step, specs, steps):
            step = replace(step, may_be_cut_off=True, unless=deferral)
        steps[name] = step
        why = why_unavailable(steps[name])
        if why is not None:
            unavailable[name] = why
    return Plan(tuple(steps.values()))


def _wanted(specs: Mapping[str, Spec], targets: Collection[str], force: Collection[str]) -> frozenset[str]:
    require_known(specs, force, where="force")
    wanted = upstream_of(specs, targets or specs)
    outside = sorted(set(force) - wanted)
    if outside:
        raise UsageError(
            f"{', '.join(outside)} cannot be forced: no target needs it",
            where=f"targets: {', '.join(sorted(targets))}",
            fix=f"add it to the targets, or force one of: {', '.join(sorted(wanted))}",
        )
    return wanted


def _require_inputs(specs: Mapping[str, Spec], currents: Mapping[str, Current], names: Collection[str]) -> None:
    sources = {name for current in currents.values() for name in current.inputs if name.startswith(SOURCE)}
    unknown = sorted(set(names) - set(specs) - sources)
    if unknown:
        raise UsageError(
            f"there is no component or source {', '.join(repr(name) for name in unknown)}",
            where="assumed to change",
            fix=f"known are: {', '.join([*sorted(specs), *sorted(sources)])}",
        )


def _anticipated(state: State, current: Current, spec: Spec, expected: Mapping[str, str]) -> Current:
    """`current` with an unknown version for each input that is expected to change and has not changed yet."""
    inputs = dict(current.inputs)
    for name in expected:
        if name in spec.upstream or name in inputs:
            old, new = state.inputs.get(name), inputs.get(name)
            if new is None or (old is not None and new.read_version == old.read_version):
                inputs[name] = _UNKNOWN
    return replace(current, inputs=inputs)


def _annotated(step: Step, expected: Mapping[str, str], outlook: Outlook) -> Step:
    """`step` with its unknown versions put in words and, where it computes, with what is known from history."""
    if isinstance(step, Skip):
        return step
    reasons = tuple(_in_words(reason, expected) for reason in step.reasons)
    match step:
        case Compute(component=name):
            seconds, rows = outlook.history.get(name, (None, None))
            return replace(
                step,
                reasons=reasons,
                may_be_cut_off=all(reason.detail == IF_DIFFERENT for reason in reasons),
                changed=dict(outlook.changed.get(name, {})),
                expected_seconds=seconds,
                expected_rows=rows,
            )
        case Defer() | Block():
            return replace(step, reasons=reasons)
        case _:
            assert_never(step)


def _may_wait(step: Compute, specs: Mapping[str, Spec], steps: Mapping[str, Step]) -> bool:
    """Whether more of the same data is all that `step` will find, so that its policy is asked."""
    above = (steps.get(name) for name in upstream_of(specs, (step.component,)))
    codes = {reason.code for one in above if isinstance(one, Compute) for reason in one.reasons}
    return {reason.code for reason in step.reasons} <= _NEW_DATA and not codes & _NEW_MEANING


def _in_words(reason: Reason, expected: Mapping[str, str]) -> Reason:
    if reason.code not in _NEW_DATA or reason.new != _UNKNOWN.read_version:
        return reason
    name = f"{SOURCE}{reason.subject}" if reason.code == Code.SOURCE_NEW_DATA else reason.subject
    return replace(reason, new=None, detail=expected[name])
