"""Agent: run it, watch it, and the state of each component as the table orchestrator_state has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import streamlit as st

from agent.core.explain import dirty_text
from agent.core.model import Compute, State
from dashboard import actions, controls, data, look, parts, press, progress, run_data
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.health import Look
from dashboard.look import Column
from dashboard.shapes import failure

TITLE, ICON, ORDER = "Agent", ":material/play_circle:", 20
_TICK_SECONDS = 1.0
_KEYS = 61  # far more than the runs that begin between two looks


def show(desk: Session) -> None:
    """The page. It looks every second; nothing in it reruns the whole page, which could swallow a click."""
    st.fragment(guarded(_live), run_every=_TICK_SECONDS)(desk)
    if not desk.is_read_only:
        controls.show(desk)


def _live(desk: Session) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if not desk.is_read_only:
            _buttons(desk)
        run, at, states = data.open_run(desk), data.now(), data.states(desk)
        plan = data.next_plan(desk, states, at)
        if plan is not None:
            due = [step.component for step in plan.steps if isinstance(step, Compute)]
            st.caption(
                f"would compute {', '.join(due)}" if due else "nothing is due: a run would find that out and end"
            )
    press.outcome("agent")
    if run is not None:
        progress.show(desk, run, at)
    else:
        _last(desk, at, states)
        failure.show(desk, states, at, "agent")
    if plan is not None:
        st.subheader("What the next run does")
        parts.plan_table(plan)
    st.subheader("State")
    _state_table(states, parts.looks(states, plan, at))


def _buttons(desk: Session) -> None:
    press.button(
        "Run Agent Once",
        partial(parts.start_run, desk),
        key="run_once",
        icon=":material/play_arrow:",
        place="agent",
        kind="primary",
    )
    run = data.open_run(desk)
    if run is not None and run.status in ("RUNNING", "QUEUED") and not data.is_dead(run, data.now()):
        # The key is the run's: a click that comes after its end says so, and never ends another one. Streamlit keeps
        # what it knows of each key for as long as the page is open, so they come round again once nobody can mean the
        # earlier run any more.
        cancel, key = partial(actions.cancel_run, desk, run.id), f"cancel_{run.id % _KEYS}"
        press.button("Cancel this run", cancel, key=key, icon=":material/stop:", place="agent")


def _last(desk: Session, at: datetime, states: Mapping[str, State]) -> None:
    runs = data.recent_runs(desk, 1)
    if not runs:
        st.info("Nothing has run here. Press **Run Agent Once**, or type `agent run`.", icon=":material/info:")
        return
    run, attempts = run_data.run_with_attempts(desk, runs[0].id)
    look.line(
        look.Html(f"Run {run.id}: {parts.status(run, at)}, "),
        f"{look.ago(run.finished_at, at)}, took {parts.took(run, at)}: ",
        progress.outcome(run, attempts),
    )
    for attempt in attempts:
        # What fails now has a card of its own.
        row = states.get(attempt.component)
        if attempt.status in ("failed", "crashed") and (row is None or row.status != "failed"):
            parts.error(f"{attempt.component} {attempt.status}", attempt.error or "", attempt.traceback)
    if run.status == "FAILED" and not any(one.status in ("failed", "crashed") for one in attempts):
        parts.error(f"Run {run.id} failed", run.error or "", None)


def _state_table(states: Mapping[str, State], looks: Mapping[str, Look]) -> None:
    rows = []
    for name, one in looks.items():
        row = states[name]
        rows.append(
            (
                parts.component(name),
                look.when(row.last_run_at),
                str(row.is_dirty).lower(),
                row.run_count,
                row.failure_count,
                look.dot(one.colour, one.word),
                one.why or dirty_text(row),
                None if row.last_duration_s is None else f"{row.last_duration_s:.2f}",
                None if row.output_rows is None else f"{row.output_rows:,}",
                look.short(row.output_version),
            )
        )
    look.table(
        [
            Column("component", "short"),
            Column("last_run_at", "short"),
            Column("is_dirty"),
            Column("run_count", "num"),
            Column("failure_count", "num"),
            Column("status", "short"),
            Column("reason", "long"),
            Column("duration, s", "num"),
            Column("rows", "num"),
            Column("version"),
        ],
        rows,
        label="orchestrator_state",
    )
