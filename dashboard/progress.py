"""A run that is open: what it waits for or computes, one line per component, and when it may be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

import streamlit as st

from agent.core import events
from agent.core.events import Event, Executing, Progress
from agent.core.explain import progress_text
from agent.core.figures import span_text
from agent.core.model import Step
from agent.store.control.attempts import Attempt
from agent.store.control.runs import Run
from dashboard import actions, data, look, parts, press, run_data
from dashboard.data import Session
from dashboard.look import Column, Html
from dashboard.palette import BLUE, GREEN, GREY, PURPLE, RED

_SLOW_SECONDS = 8.0  # after this a queued run that no worker took is worth a word

# Badges; the sentence of an event is core.explain's.
_LABELS: Mapping[type[Executing], tuple[str, str]] = {
    events.Finished: ("computed", GREEN),
    events.CutOff: ("came out the same", GREEN),
    events.Skipped: ("up to date", GREEN),
    events.Deferred: ("deferred", PURPLE),
    events.Blocked: ("blocked", PURPLE),
    events.Failed: ("failed", RED),
    events.Cancelled: ("cancelled", GREY),
    events.TakenOver: ("taken over", BLUE),
    events.Started: ("running", BLUE),
}


def show(desk: Session, run: Run, at: datetime) -> None:
    """The open run as it stands."""
    run, attempts = run_data.run_with_attempts(desk, run.id)
    head = Html(f"Run {run.id}: {parts.status(run, at)}")
    if data.is_dead(run, at):
        look.line(head)
        st.warning(
            f"The process that carried out run {run.id} ({parts.owner(run) or 'unknown'}) died. Nothing is lost: what "
            "it had finished is kept. Press **Run Agent Once**: the new run takes over where it stopped.",
            icon=":material/warning:",
        )
    elif run.status == "QUEUED":
        waited = (at - run.created_at).total_seconds()
        look.line(head, f", for {span_text(waited)}")
        if waited > _SLOW_SECONDS:
            st.warning(
                "No worker has taken it yet. Press **Run Agent Once** again to start one; "
                f"its log is `{desk.workspace.settings.home / 'logs' / 'worker.log'}`.",
                icon=":material/hourglass:",
            )
    elif run.status == "AWAITING_APPROVAL":
        _approval(desk, run, head)
    else:
        stop = ", asked to stop" if run.cancel_requested else ""
        look.line(head, f" for {span_text((at - (run.started_at or at)).total_seconds())} in {parts.owner(run)}{stop}")
    happened = [row.event for row in run_data.events_of(desk, run.id)]
    steps = _planned(happened)
    if steps:
        _lines(steps, happened, attempts, run_data.advance_of(desk, run.id), at)


def outcome(run: Run, attempts: Sequence[Attempt]) -> str:
    """What came of a run that is over, in a few words."""
    same = [one.component for one in attempts if one.status == "succeeded" and one.is_cut_off]
    new = [one.component for one in attempts if one.status == "succeeded" and not one.is_cut_off]
    words = []
    if new:
        words.append(f"computed {', '.join(new)}")
    if same:
        so = "" if new else ", so nothing downstream had to run"
        words.append(f"{', '.join(same)} came out the same{so}")
    words += [f"{one.component} {one.status}" for one in attempts if one.status in ("failed", "crashed", "cancelled")]
    return "; ".join(words) or (run.error or "nothing was due")


def _planned(happened: Sequence[Event]) -> dict[str, Step]:
    for event in happened:
        if isinstance(event, events.PlanGenerated):
            return {step.component: step for step in event.steps}
    return {}


def _lines(
    steps: Mapping[str, Step],
    happened: Sequence[Event],
    attempts: Sequence[Attempt],
    advance: Mapping[str, Progress],
    at: datetime,
) -> None:
    last = {event.component: event for event in happened if isinstance(event, Executing)}
    running = {one.component: one for one in attempts if one.status == "running"}
    rows = []
    for name, step in steps.items():
        expected = getattr(step, "expected_seconds", None)
        event = last.get(name)
        if name in running:
            seconds = (at - running[name].started_at).total_seconds()
            done, words = _so_far(seconds, expected, advance.get(name))
            rows.append((parts.component(name), look.dot(BLUE, "running"), look.bar(done), words))
            continue
        if event is None:
            rows.append((parts.component(name), look.dot(GREY, "waiting"), look.bar(0.0), ""))
            continue
        word, colour = _LABELS[type(event)]
        rows.append((parts.component(name), look.dot(colour, word), look.bar(1.0), _detail(event)))
    done = sum(name in last and name not in running for name in steps)
    st.caption(f"{done} of {len(steps)} components done")
    look.table(
        [Column("Component", "short"), Column("State", "short"), Column(""), Column("", "long")], rows, label="progress"
    )


def _so_far(seconds: float, expected: float | None, said: Progress | None) -> tuple[float, str]:
    """How much of it is done, from 0 to 1, and in words: as it says itself, else by how long it took last time."""
    if expected is None:
        words = span_text(seconds)
    elif seconds <= expected:
        words = f"{span_text(seconds)} of about {span_text(expected)}"
    else:
        words = f"{span_text(seconds)}, last time {span_text(expected)}"
    if said is not None:
        words = f"{progress_text(said)}; {words}"
        if said.total:
            return said.done / said.total, words
    # An estimate never claims to be done.
    return min(0.95, seconds / expected) if expected else 0.5, words


def _detail(event: Executing) -> str:
    """What there is to say beside the badge."""
    match event:
        case events.Finished(seconds=seconds):
            return f"{seconds:.1f} s"
        case events.Failed(error=error) | events.Cancelled(error=error):
            return error.partition("\n")[0]
        case events.Deferred(until=until):
            return until
        case events.Blocked(by=by):
            return f"by {by}"
        case _:
            return ""


def _approval(desk: Session, run: Run, head: Html) -> None:
    approval = run_data.approval_of(desk, run.id)
    until = None if approval is None else approval.expires_at
    look.line(head, Html(f", until {look.when(until)}"))
    if desk.is_read_only:
        return
    with st.container(horizontal=True):
        approve = partial(actions.answer, desk, run.id, approved=True)
        press.button(
            "Approve", approve, key=f"approve_{run.id}", icon=":material/check:", place="agent", kind="primary"
        )
        reject = partial(actions.answer, desk, run.id, approved=False)
        press.button("Reject", reject, key=f"reject_{run.id}", icon=":material/close:", place="agent")
