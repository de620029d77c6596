"""Reads what is to know of the components that fail now: since when, what waits for them, how far the release is
behind, and what to send with a report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agent.core.answers import Line, Ref, joined, listed
from agent.core.events import Blocked
from agent.core.figures import span_text
from agent.core.model import State
from agent.masking import masked
from agent.store.control import attempts, events
from agent.store.control.attempts import Attempt
from agent.store.database.engine import Connections
from agent.store.database.urls import secrets_in
from agent.store.outputs import catalog, releases
from agent.version import VERSION
from pipelines.data.tick_parts.offer import offered_rule
from pipelines.values import dataclass

_EVENTS, _TRACEBACK_LINES = 1000, 30


@dataclass(frozen=True)
class Failure:
    """A component that fails now.

    attempt: the newest one. error: what, where and the fix. lines: since when, what waits, how far the release is
    behind. bad_rule: the rule that rows break, where leaving those out would help. report: text to paste elsewhere,
    without secrets.
    """

    component: str
    state: State
    attempt: Attempt
    error: str
    lines: tuple[Line, ...]
    bad_rule: str | None
    report: str


def load_failures(at: Connections, states: Mapping[str, State], project_id: int, now: datetime) -> list[Failure]:
    """The components among `states` that failed at their last attempt, in the order of their names."""
    failed = sorted(name for name, row in states.items() if row.status == "failed")
    if not failed:
        return []
    tried = attempts.last_failed(at.control, project_id, failed)
    behind = _behind(at, states, now)
    return [
        _failure(
            at, states[name], tried[name], (_since(at, states[name], project_id, now), *_waits(at, tried[name]), behind)
        )
        for name in failed
        if name in tried
    ]


def _failure(at: Connections, state: State, attempt: Attempt, lines: tuple[Line, ...]) -> Failure:
    secrets = secrets_in(at.control.engine.url)
    error = masked(state.last_error or attempt.error or "", secrets)
    traceback = masked(attempt.traceback or "", secrets).splitlines()[-_TRACEBACK_LINES:]
    facts = (
        f"Tidemill {VERSION}: {state.component} {attempt.status} in run {attempt.run_id}, attempt {attempt.number}, "
        f"{attempt.started_at:%Y-%m-%d %H:%M} UTC"
    )
    code = f"code {(state.code_version or 'unknown')[:12]}, output {(state.output_version or 'none')[:12]}"
    report = "\n".join([facts, code, "", error, *(("", *traceback) if traceback else ())])
    return Failure(state.component, state, attempt, error, lines, offered_rule(error), report)


def _since(at: Connections, state: State, project_id: int, now: datetime) -> Line:
    first = attempts.failing_since(at.control, project_id, state.component)
    times = f", {state.consecutive_failures:,} times in a row" if state.consecutive_failures > 1 else ""
    again: Line = () if state.next_retry_at is None else ("; a schedule would try it again from ", state.next_retry_at)
    if first is None:
        return (f"Fails{times or ' now'}", *again)
    return ("Fails since ", first, f", for {span_text((now - first).total_seconds())}{times}", *again)


def _waits(at: Connections, attempt: Attempt) -> tuple[Line, ...]:
    happened = (row.event for row in events.load_events(at.control, attempt.run_id, limit=_EVENTS))
    names = dict.fromkeys(event.component for event in happened if isinstance(event, Blocked))
    if not names:
        return (("Nothing waits for it",),)
    return (("What waits for it: ", *listed([Ref("component", name, name) for name in names], most=len(names))),)


def _behind(at: Connections, states: Mapping[str, State], now: datetime) -> Line:
    release = releases.current_release(at.project)
    if release is None:
        return ("Nothing has been released yet",)
    parts: list[Line] = [("The release in force is of ", release.created_at)]
    parts.append((f", {span_text((now - release.created_at).total_seconds())} old",))
    newest = catalog.newest_watermark(at.project, [name for name, row in states.items() if row.output_version])
    if release.as_of is not None and newest is not None and newest > release.as_of:
        late = span_text((newest - release.as_of).total_seconds())
        parts.append((f"; its data are {late} behind those that are here, which go to ", newest))
    return joined(parts, "")
