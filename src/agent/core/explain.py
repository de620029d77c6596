"""Reasons and plans in words a trader understands. Pure: values in, text out; decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import assert_never

from agent.core import events
from agent.core.figures import count_text
from agent.core.graph import order
from agent.core.model import (
    ASSUMED,
    BY_HTTP,
    BY_SQL,
    IF_DIFFERENT,
    Block,
    Code,
    Compute,
    Defer,
    Plan,
    Reason,
    Skip,
    Spec,
    State,
    Step,
)

_UNEXPLAINED_MARK = "marked without a reason"

# Begins what stands for the version of a source that does not answer.
UNREACHABLE = "unreachable: "

_MOST_DEFINITIONS = 3  # named in a sentence; the evidence has them all


def sentence(component: str, reason: Reason) -> str:
    """One reason as a sentence: "features runs because RSI_SPAN in features.py (line 31) changed"."""
    return f"{component} runs {_because(component, [reason])}"


def causes_text(component: str, reasons: Iterable[Reason]) -> str:
    """All reasons in one line, without a subject and "because"."""
    found, maybe = _apart(reasons)
    return "; ".join([*(cause(component, reason) for reason in found), *_if_different(maybe)])


def cause(component: str, reason: Reason) -> str:
    """One reason as what follows "because"."""
    return _CAUSES[reason.code](component, reason)


def found_text(component: str, reasons: Iterable[Reason]) -> str | None:
    """What an evaluation found, in one line for `dirty_reason`; None where there is nothing but perhaps a mark."""
    return causes_text(component, [reason for reason in reasons if reason.code != Code.MARKED]) or None


def mark_text(by: str, reason: str) -> str:
    """Who marked a component and why."""
    if not by or by.startswith((BY_SQL, BY_HTTP)):
        return reason or _UNEXPLAINED_MARK
    return f"{by}: {reason}" if reason else f"{by} gave no reason"


def dirty_text(state: State) -> str | None:
    """Why a row's flag is set: the mark, then what the last evaluation found. None where it is not."""
    mark = () if state.mark is None else (mark_text(state.mark.by, state.mark.reason),)
    return "; ".join(dict.fromkeys([*mark, *filter(None, [state.dirty_reason])])) or None


def progress_text(one: events.Progress) -> str:
    """How far an attempt has come, in its own words: "3 of 11: fold from 2006-03-14 00:00 UTC"."""
    count = f"{one.done:,} of {one.total:,}" if one.total else ""
    return ": ".join(part for part in (count, one.what) if part)


def event_sentence(event: events.Event) -> str:
    """What an event says, wherever people read it; an error in it may have more lines than one."""
    match event:
        case events.RunCreated(goal=goal, meaning=meaning):
            return f"asked for: {meaning or goal}"
        case events.RunStarted(goal=goal, trigger=trigger):
            return f"began ({trigger}): {goal}"
        case events.AgentThinking(stale=stale):
            causes = ", ".join(f"{name} ({'; '.join(why)})" for name, why in stale.items())
            return f"stale: {causes}" if stale else "everything is up to date"
        case events.PlanGenerated(steps=steps):
            return _steps_sentence(steps)
        case events.ApprovalRequested(expires_at=expires_at):
            return f"waits for approval until {expires_at}"
        case events.ApprovalGiven():
            answer = event.type.removeprefix("APPROVAL_").lower().replace("given", "approved")
            return f"{answer} by {event.by}{_after_colon(event.reason)}"
        case events.CodeChanged(files=files, number=number, most=most):
            changed = f"{', '.join(files)} changed before anything was computed with it"
            return f"{changed}: decided again ({number} of at most {most} times)"
        case events.RunCompleted():
            return _end_sentence(event)
        case events.Unknown(payload=payload):
            return "; ".join(f"{name}: {_shown(value)}" for name, value in payload.items() if value not in (None, []))
        case _:
            return _executing_sentence(event)


def _executing_sentence(event: events.Executing) -> str:
    name = event.component
    match event:
        case events.Started(number=number, reasons=reasons):
            return "; ".join(reasons) + (f" (try {number})" if number > 1 else "")
        case events.Finished(version=version, reused_run=int(run)):
            news = "the same as before" if isinstance(event, events.CutOff) else "new"
            return f"{name} took what run {run} had computed, version {version[:8]}: {news}"
        case events.CutOff(seconds=seconds):  # before Finished, which it is a kind of
            return f"{name} came out the same after {seconds:.1f} s: nothing else runs because of it"
        case events.Finished(rows=rows, version=version, seconds=seconds):
            return f"{name} came out new: {count_text(rows, 'row')}, version {version[:8]}, after {seconds:.1f} s"
        case events.Assessed(release=release, assessment=assessment):
            return f"{name} brought out {release}: {assessment}"
        case events.Failed(number=number, seconds=seconds, error=error):
            at = f" at try {number}" if number > 1 else ""
            return f"{name} failed{at} after {seconds:.1f} s: {error}"
        case events.Cancelled(error=error):
            return f"{name} was ended: {error}"
        case events.TakenOver(from_=owner):
            return f"{name} is taken over from {owner}, which died while it ran"
        case events.Skipped(version=version):
            return f"{name} is up to date{_version(version)}"
        case events.Deferred(until=until, causes=causes):
            though = f", though {causes_text(name, causes)}" if causes else ""
            return f"{name} is deferred until {until}{though}"
        case events.Blocked(by=by):
            return f"{name} is blocked by {by}"
        case _:
            assert_never(event)


def _steps_sentence(steps: Sequence[Step]) -> str:
    """The steps by kind, without those that are up to date."""
    kinds: dict[str, list[str]] = {}
    for step in steps:
        if not isinstance(step, Skip):
            kinds.setdefault(_verb(step), []).append(step.component)
    kinds = {verb: kinds[verb] for verb in ("compute", "reuse", "defer", "block") if verb in kinds}
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items()) or "nothing to compute"


def _verb(step: Step) -> str:
    return "reuse" if isinstance(step, Compute) and step.reuse is not None else type(step).__name__.lower()


def _end_sentence(event: events.RunEnded) -> str:
    status = event.type.removeprefix("RUN_").lower()
    if event.error is None:
        done = {"computed": event.computed, "took from earlier runs": event.reused}
        told = [f"{what} {', '.join(names)}" for what, names in done.items() if names]
        return f"{status}: {'; '.join(told) or 'nothing was due'}"
    return f"{status}: {event.error}{_in_brackets(event.owner or '')}"


def _after_colon(text: str | None) -> str:
    return f": {text}" if text else ""


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    return json.dumps(value, default=str)


def plan_lines(plan: Plan) -> list[str]:
    """The plan, one line per step, names in one column."""
    width = max((len(step.component) for step in plan.steps), default=0)
    return [f"{step.component:<{width}}  {_step_text(step)}" for step in plan.steps]


def chain(component: str, specs: Mapping[str, Spec], steps: Mapping[str, Step], *, verb: str = "runs") -> list[str]:
    """From the first causes (a file, a setting, a line of code, a person) down to `component`: a sentence each.

    steps: component -> its step in a plan or in a past run (verb "ran"). Only steps that `component`'s own rests on
    are listed.
    """
    reported = _rests_on(component, steps)
    return [line for name in order(specs) if name in reported for line in step_sentences(steps[name], verb)]


def _rests_on(component: str, steps: Mapping[str, Step]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [component]
    while waiting:
        name = waiting.pop()
        if name in found or name not in steps or (found and isinstance(steps[name], Skip)):
            continue
        found.add(name)
        match steps[name]:
            case Compute(reasons=reasons) | Defer(reasons=reasons):
                waiting += [reason.subject for reason in reasons if reason.code == Code.INPUT_CHANGED]
            case Block(by=by):
                waiting.append(by)
            case Skip():
                pass
    return frozenset(found)


def step_sentences(step: Step, verb: str) -> list[str]:
    """Why a component runs (or "ran", the verb), or does not: a sentence for each cause."""
    name, be = step.component, "is" if verb == "runs" else "was"
    match step:
        case Compute():
            reported = _causes(f"{name} {verb}", step)
            found = "" if step.reuse is None else f" (reuse, computed in run {step.reuse.run_id})"
            return [*reported[:-1], f"{reported[-1]}{_unless(step)}{found}"]
        case Skip():
            return [f"{name} {be} up to date{_version(step.version)}"]
        case Defer():
            return [*_causes(f"{name} {be} stale", step), f"{name} {be} deferred until {step.until}"]
        case Block():
            return [*_causes(f"{name} {be} stale", step), f"{name} {be} blocked by {step.by}"]
        case _:
            assert_never(step)


def _causes(beginning: str, step: Compute | Defer | Block) -> list[str]:
    """A sentence for each cause of `step`; those that are foreseen and not there yet are one condition."""
    found, maybe = _apart(step.reasons)
    reported = [f"{beginning} {_because(step.component, [reason])}" for reason in found]
    return reported + [f"{beginning} {text}" for text in _if_different(maybe)]


def _apart(reasons: Iterable[Reason]) -> tuple[list[Reason], list[Reason]]:
    """Reasons that are there, and those of inputs that may come out different."""
    reported = list(reasons)
    maybe = [reason for reason in reported if reason.detail == IF_DIFFERENT and reason.code == Code.INPUT_CHANGED]
    return [reason for reason in reported if reason not in maybe], maybe


def _if_different(maybe: Sequence[Reason]) -> list[str]:
    if not maybe:
        return []
    names = [reason.subject for reason in maybe]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return [f"if {listed} comes out different"]


def _step_text(step: Step) -> str:
    match step:
        case Compute():
            if step.reuse is not None:
                return f"reuse     computed in run {step.reuse.run_id}, {_because(step.component, step.reasons)}"
            verb = "compute?" if step.may_be_cut_off else "compute "
            return f"{verb}  {_because(step.component, step.reasons)}{_unless(step)}{_expected(step)}"
        case Skip():
            return f"skip      up to date{_version(step.version)}"
        case Defer():
            return f"defer     until {step.until}, though {causes_text(step.component, step.reasons)}"
        case Block():
            return f"block     by {step.by}"
        case _:
            assert_never(step)


def _because(component: str, reasons: Sequence[Reason]) -> str:
    """ "because …", unless every cause is foreseen only and begins with "if"."""
    text = causes_text(component, reasons)
    return text if all(_is_condition(reason) for reason in reasons) else f"because {text}"


def _unless(step: Compute) -> str:
    return f", unless it waits until {step.unless}" if step.unless else ""


def _expected(step: Compute) -> str:
    parts = [f"{name}: {_some(keys)}" for name, keys in step.changed.items() if keys]
    text = f" ({'; '.join(parts)})" if parts else ""
    if step.expected_seconds is not None:
        text += f", about {step.expected_seconds:.1f} s"
    if step.expected_rows is not None:
        text += f", about {count_text(step.expected_rows, 'row')}"
    return text


def _mark_cause(component: str, reason: Reason) -> str:
    what = f"its partition {reason.subject}" if reason.subject else "it"
    return f"{what} was marked by a person{_in_brackets(mark_text(reason.new or '', reason.detail))}"


_FORMAT = "pipelines:FORMAT_VERSION"


def _code_cause(component: str, reason: Reason) -> str:
    if not reason.subject:
        return f"the code of {component} changed"
    names = reason.subject.split(", ")
    if _FORMAT in names:
        return "this version of Tidemill stores it in another format"
    places = reason.detail.split(", ") if reason.detail else []
    reported = [_definition(name, places[number] if number < len(places) else "") for number, name in enumerate(names)]
    more = len(reported) - _MOST_DEFINITIONS
    if more > 0:
        reported = [*reported[:_MOST_DEFINITIONS], f"{more} more"]
    return f"{_and(reported)} changed"


def _definition(name: str, place: str) -> str:
    """ "pipelines.components.features:RSI_SPAN" at ".../features.py:31" -> "RSI_SPAN in features.py (line 31)"."""
    module, _, definition = name.partition(":")
    path, _, line = place.rpartition(":")
    file = path.rpartition("/")[2] or f"{module.rpartition('.')[2]}.py"
    what = "code outside functions" if definition == "<module>" else definition
    return f"{what} in {file} (line {line})" if path else f"{what} in {file} ({place or 'now gone'})"


def _setting_cause(component: str, reason: Reason) -> str:
    if not reason.subject:
        return f"{reason.detail} changed"
    return f"the setting {reason.subject} {_from_to(reason)}"


def _input_cause(component: str, reason: Reason) -> str:
    name = reason.subject
    if _is_condition(reason):
        return _if_different([reason])[0] if reason.detail == IF_DIFFERENT else f"if {name} changes"
    if reason.new is None:
        return f"{name} is no longer one of its inputs"
    if reason.old is None:
        return f"it has not read {name} yet"
    return f"{name} changed (version {reason.old[:8]} → {reason.new[:8]})"


def _source_cause(component: str, reason: Reason) -> str:
    if _is_condition(reason):
        return f"if there is new data in the source {reason.subject}"
    if reason.new is None:
        return f"the source {reason.subject} is no longer configured"
    if reason.old is None:
        return f"the source {reason.subject} is new"
    if reason.new.startswith(UNREACHABLE):
        return f"the source {reason.subject} does not answer ({reason.new.removeprefix(UNREACHABLE)})"
    return f"there is new data in the source {reason.subject}{_in_brackets(reason.detail)}"


def _is_condition(reason: Reason) -> bool:
    """Whether the reason is foreseen by a plan and not there yet."""
    return reason.detail in (IF_DIFFERENT, ASSUMED)


def _own_files(reason: Reason) -> str:
    return f"its file {reason.subject} is" if reason.subject else f"{reason.detail} are"


def _from_to(reason: Reason) -> str:
    old, new = _plain(reason.old), _plain(reason.new)
    if old is None:
        return f"is new ({new})"
    if new is None:
        return f"is gone (it was {old})"
    return f"changed from {old} to {new}"


def _plain(value: str | None) -> str | None:
    """JSON as people write it: text without its quotes."""
    if value is None or not value.startswith('"'):
        return value
    return str(json.loads(value))


def _version(version: str | None) -> str:
    return f" (version {version[:8]})" if version else ""


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:3])
    return f"{shown} and {len(keys) - 3} more" if len(keys) > 3 else shown


def _in_brackets(detail: str) -> str:
    return f" ({detail})" if detail else ""


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


_CAUSES: Mapping[Code, Callable[[str, Reason], str]] = {
    Code.NEVER_RUN: lambda _, reason: "it has never run",
    Code.MARKED: _mark_cause,
    Code.FORCED: lambda _, reason: "it was forced",
    Code.FAILED: lambda _, reason: f"its last attempt failed{_in_brackets(reason.detail)}",
    Code.CODE_CHANGED: _code_cause,
    Code.SETTINGS_CHANGED: _setting_cause,
    Code.LIBRARY_CHANGED: lambda _, reason: f"the library {reason.subject} {_from_to(reason)}",
    Code.INPUT_CHANGED: _input_cause,
    Code.SOURCE_NEW_DATA: _source_cause,
    Code.OUTPUT_MISSING: lambda _, reason: f"{_own_files(reason)} missing",
    Code.OUTPUT_ALTERED: lambda _, reason: f"{_own_files(reason)} no longer what was written",
    Code.TOO_OLD: lambda _, reason: f"its sources were last read {reason.old} s ago, more than {reason.new} s",
    Code.RETRAIN_DUE: lambda _, reason: f"retraining is due{_in_brackets(reason.detail)}",
}
