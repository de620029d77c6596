"""Overview: what is current and how old, what is stale and why, the last runs, the next one, the component graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import streamlit as st

from agent.store.outputs.releases import Release
from dashboard import charts, data, graph, health, look, parts
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.health import Look
from dashboard.look import Column

TITLE, ICON, ORDER = "Overview", ":material/home:", 10
_RUNS = 6
_REFRESH_SECONDS = 5.0


def show(desk: Session) -> None:
    """The page; what changes by itself is looked at again every few seconds."""
    st.fragment(guarded(_live), run_every=_REFRESH_SECONDS)(desk)


def _live(desk: Session) -> None:
    at = data.now()
    states, release = data.states(desk), data.current_release(desk)
    open_run = data.open_run(desk)
    is_running = open_run is not None and open_run.status == "RUNNING" and not data.is_dead(open_run, at)
    steps = () if is_running else data.recent_plan(desk, states).steps
    looks = parts.looks(states, {step.component: step for step in steps}, at)
    worst, sentence = health.headline(looks, is_running=is_running, has_release=release is not None)
    look.line(look.dot(worst.colour, sentence))
    if release is not None:
        parts.assessment(desk, release)
    _figures(desk, release, at)
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


def _figures(desk: Session, release: Release | None, at: datetime) -> None:
    columns = st.columns(4)
    historical = desk.workspace.is_historical
    if release is None:
        columns[0].metric("Current release", "none yet", border=True, height="stretch")
        columns[1].metric("Data as of", "–", border=True, height="stretch")
    else:
        columns[0].metric(
            "Current release",
            look.short(release.version),
            delta=f"published {look.ago(release.created_at, at)}",
            delta_color="off",
            delta_arrow="off",
            help=f"{release.name}, {look.when_text(release.created_at)}",
            border=True,
            height="stretch",
        )
        as_of = release.as_of
        columns[1].metric(
            "Data as of",
            "–" if as_of is None else f"{as_of.astimezone(look.zone()):%Y-%m-%d %H:%M}",
            delta="historical data" if historical else look.ago(as_of, at),
            delta_color="off",
            delta_arrow="off",
            help="newest tick; for historical data this is the present" if historical else "newest tick",
            border=True,
            height="stretch",
        )
    count = 0 if release is None else data.predictions_in(desk)
    columns[2].metric("Markets predicted", f"{count:,}", border=True, height="stretch")
    due = data.next_scheduled(desk)
    if due is None:
        value, note = "none", "start one in the Agent tab"
    elif due < at:
        value, note = "overdue", f"since {look.span((at - due).total_seconds())}: does the scheduler run?"
    else:
        value, note = f"{due.astimezone(look.zone()):%H:%M}", f"in {look.span((due - at).total_seconds())}"
    columns[3].metric(
        "Next run by itself",
        value,
        delta=note,
        delta_color="off",
        delta_arrow="off",
        help="A scheduler (`--mode scheduled`) or the server's background runner sets it.",
        border=True,
        height="stretch",
    )


def _not_current(looks: Mapping[str, Look]) -> None:
    rows = [(name, look.dot(one.colour, one.word), one.why) for name, one in looks.items() if one.why]
    if rows:
        look.table([Column("Component", "short"), Column("State", "short"), Column("Why", "long")], rows, label="stale")
