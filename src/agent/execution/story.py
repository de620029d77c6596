"""What a past run did and why, put together from its plan, its attempts and its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from agent.core.events import Blocked, Deferred, PlanGenerated, Skipped
from agent.core.explain import event_sentence, step_sentences
from agent.core.grid import Outcome, outcome_of
from agent.core.model import Block, Compute, Defer, Reason, Skip, Step
from agent.core.plan_json import plan_from_json
from agent.errors import NotFound
from agent.store.control import attempts, events, runs
from agent.store.control.attempts import Attempt
from agent.store.control.events import EventRow
from agent.store.database.engine import Connections, Database
from pipelines.values import dataclass

_OUTCOMES: Mapping[type[Step], Outcome] = {Compute: "waiting", Skip: "up to date", Defer: "deferred", Block: "blocked"}


@dataclass(frozen=True)
class RunHistory:
    """steps: component -> what was done with it. endings: component -> a sentence about what came of computing it."""

    steps: Mapping[str, Step] = field(default_factory=dict)
    endings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepHistory:
    """What happened to one component in a run, and why: sentences; `reasons` with their evidence; the last attempt,
    None where there was none."""

    run_id: int
    component: str
    outcome: Outcome
    sentences: tuple[str, ...]
    reasons: tuple[Reason, ...]
    attempt: Attempt | None


def step_of(at: Connections, run_id: int, component: str) -> StepHistory:
    """What happened to a component in a run. Raises NotFound where there is no such run, or it was not about that
    component."""
    story, tried = _story(at, run_id)
    step = story.steps.get(component)
    if step is None:
        raise NotFound(f"there is no {component!r} in run {run_id}", where="runs", fix="`agent runs` lists them")
    mine = [one for one in tried if one.component == component]
    attempt = mine[-1] if mine else None
    ending = story.endings.get(component)
    sentences = (*step_sentences(step, "ran"), *(() if ending is None else (ending,)))
    # A plan that was not carried out that far reached nothing.
    outcome = (
        _OUTCOMES[type(step)] if attempt is None else outcome_of(attempt.status, is_cut_off=bool(attempt.is_cut_off))
    )
    return StepHistory(run_id, component, outcome, sentences, getattr(step, "reasons", ()), attempt)


def story_of(database: Database, run_id: int) -> RunHistory:
    """The story of run `run_id`. Raises NotFound.

    The plan of its start says what was foreseen; attempts and events say what was decided when its turn came.
    """
    with database.reading() as connections:
        return _story(connections, run_id)[0]


def _story(at: Connections, run_id: int) -> tuple[RunHistory, list[Attempt]]:
    run = runs.load_run(at.control, run_id)
    tried = attempts.list_attempts(at.control, run_id)
    reported = [row.event for row in events.load_events(at.control, run_id)]
    planned = next(
        (one.steps for one in reported if isinstance(one, PlanGenerated)), plan_from_json(run.plan or ()).steps
    )
    steps: dict[str, Step] = {step.component: step for step in planned}
    for event in reported:
        match event:
            case Skipped(component=name, version=version):
                steps[name] = Skip(name, version)
            case Deferred(component=name, until=until, causes=causes):
                steps[name] = Defer(name, causes, until)
            case Blocked(component=name, by=by, causes=causes):
                steps[name] = Block(name, by, causes)
            case _:
                pass
    endings = {}
    for attempt in tried:
        steps[attempt.component] = Compute(attempt.component, attempt.reasons)
        endings[attempt.component] = _ending(attempt)
    return RunHistory(steps, endings), tried


def log_lines(happened: Sequence[EventRow], tried: Sequence[Attempt]) -> list[str]:
    """What happened in a run, a line per event with its time (UTC), then the traceback of each attempt that failed."""
    lines = [f"{row.created_at:%Y-%m-%d %H:%M:%S} {row.type}: {event_sentence(row.event)}" for row in happened]
    for one in tried:
        if one.traceback:
            lines += ["", f"{one.component}, try {one.number}, {one.status}:", one.traceback.rstrip()]
    return lines


def _ending(attempt: Attempt) -> str:
    name, number = attempt.component, f" at try {attempt.number}" if attempt.number > 1 else ""
    match attempt.status:
        case "succeeded" if attempt.reused_from is not None:
            news = "the same as before" if attempt.is_cut_off else f"version {(attempt.output_version or '')[:8]}"
            return f"{name} took what attempt {attempt.reused_from} had computed{number}: {news}"
        case "succeeded" if attempt.is_cut_off:
            return f"{name} came out the same as before{number}, so nothing else ran because of it"
        case "succeeded":
            rows = f"{attempt.rows:,} rows, " if attempt.rows is not None else ""
            return f"{name} came out new{number}: {rows}version {(attempt.output_version or '')[:8]}"
        case "running":
            return f"{name} is still being computed"
        case status:
            return f"{name} {status}{number}: {(attempt.error or '').partition(chr(10))[0]}"
