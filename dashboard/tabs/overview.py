"""Overview: the morning's questions answered, what is stale and why, the next run and the last ones, the graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import streamlit as st

from agent.core.answers import Ref
from agent.core.figures import count_text, span_text
from agent.core.morning_text import WHAT_THIS_IS
from agent.store.outputs.releases import Release
from dashboard import charts, data, health, look, parts, press
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.health import Look
from dashboard.look import Column
from dashboard.shapes import cards, failure, graph

TITLE, ICON, ORDER = "Overview", ":material/home:", 10
_RUNS = 6
_REFRESH_SECONDS, _FIRST_SECONDS = 5.0, 1.0


def show(desk: Session) -> None:
    """The page; what changes by itself is looked at again every few seconds."""
    seconds = _REFRESH_SECONDS if data.current_release(desk) is not None else _FIRST_SECONDS
    st.fragment(guarded(_live), run_every=seconds)(desk)


def _live(desk: Session) -> None:
    at = data.now()
    states, release = data.states(desk), data.current_release(desk)
    plan = data.next_plan(desk, states, at)
    is_running, looks = plan is None, parts.looks(states, plan, at)
    worst, sentence = health.headline(looks, is_running=is_running, has_release=release is not None)
    is_first = len(data.recent_releases(desk, 2)) < 2
    if is_first:
        _welcome(desk, release, is_running=is_running)
    if release is not None or is_running or any(row.run_count for row in states.values()):
        look.line(look.dot(worst.colour, sentence))
    failure.show(desk, states, at, "overview")
    answers = data.morning_of(desk, at)
    if answers:
        cards.show(answers, "morning")
    _next(desk, release, at)
    st.subheader("Components")
    charts.put(
        graph.components(desk.workspace.specs, states, looks),
        "graph",
        height=290,
        alt="The components: " + ", ".join(f"{name} {one.word}" for name, one in looks.items()),
    )
    _not_current(looks)
    st.subheader("Last runs")
    runs = data.recent_runs(desk, _RUNS)
    if runs:
        parts.runs_table(runs, at)
    else:
        st.caption("None yet.")


def _welcome(desk: Session, release: Release | None, *, is_running: bool) -> None:
    """What a stranger sees until the second release: what this is, one button, and what came of it."""
    look.line(WHAT_THIS_IS)
    if release is not None:
        count = data.predictions_in(desk)
        words = f"{count_text(count, 'decision')}: look"
        look.line(look.Html("<b>"), look.link(Ref("release", release.name, words)), look.Html("</b>"))
    elif not is_running and not desk.is_read_only:
        press.button(
            "Run Agent Once",
            partial(parts.start_run, desk),
            key="run_first",
            icon=":material/play_arrow:",
            place="welcome",
            kind="primary",
        )
    press.outcome("welcome")


def _next(desk: Session, release: Release | None, at: datetime) -> None:
    """How many markets are predicted, and when the next run begins by itself."""
    due = data.next_scheduled(desk)
    if due is None:
        words: tuple[str, ...] = ("No run begins by itself: start one in the Agent tab, or a schedule.",)
    elif due < at:
        words = (f"The next run is overdue by {span_text((at - due).total_seconds())}: does the scheduler run?",)
    else:
        words = ("The next run begins by itself ", look.when(due), f", in {span_text((due - at).total_seconds())}")
    count = 0 if release is None else data.predictions_in(desk)
    look.line(f"{count_text(count, 'market')} predicted. " if release else "", *words)


def _not_current(looks: Mapping[str, Look]) -> None:
    rows = [(parts.component(name), look.dot(one.colour, one.word), one.why) for name, one in looks.items() if one.why]
    if rows:
        look.table([Column("Component", "short"), Column("State", "short"), Column("Why", "long")], rows, label="stale")
