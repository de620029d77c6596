"""What a past run did and why, put together from its plan, its attempts and its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from agent.core.events import Blocked, Deferred, PlanGenerated, Skipped
from agent.core.explain import event_sentence
from agent.core.model import Block, Compute, Defer, Skip, Step
from agent.core.plan_json import plan_from_json
from agent.store.control import attempts, events, runs
from agent.store.control.attempts import Attempt
from agent.store.control.events import EventRow
from agent.store.database.engine import Database
from pipelines.values import dataclass


@dataclass(frozen=True)
class RunHistory:
    """steps: component -> what was done with it. endings: component -> a sentence about what came of computing it."""

    steps: Mapping[str, Step] = field(default_factory=dict)
    endings: Mapping[str, str] = field(default_factory=dict)


def story_of(database: Database, run_id: int) -> RunHistory:
    """The story of run `run_id`. Raises NotFound.

    The plan of its start says what was foreseen; attempts and events say what was decided when its turn came.
    """
    with database.reading() as connections:
        run = runs.load_run(connections.control, run_id)
        tried = attempts.list_attempts(connections.control, run_id)
        reported = [row.event for row in events.load_events(connections.control, run_id)]
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
    return RunHistory(steps, endings)


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
            return f"{name} came out the same as before{number}, so nothing downstream had to run"
        case "succeeded":
            rows = f"{attempt.rows:,} rows, " if attempt.rows is not None else ""
            return f"{name} came out new{number}: {rows}version {(attempt.output_version or '')[:8]}"
        case "running":
            return f"{name} is still being computed"
        case status:
            return f"{name} {status}{number}: {(attempt.error or '').partition(chr(10))[0]}"
