"""Runs: the history with filters, and one run closely: its timeline, its events as they come, its errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from agent.core.explain import event_sentence
from agent.core.graph import order
from agent.store.control.runs import FINAL, Run
from dashboard import actions, address, charts, data, look, parts, press, progress, run_data
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from dashboard.shapes import graph, grid

TITLE, ICON, ORDER = "Runs", ":material/history:", 30
_WORKING_SECONDS, _IDLE_SECONDS = 1.0, 5.0
_PAGE = 15


def show(desk: Session) -> None:
    """The page."""
    runs = data.recent_runs(desk)
    if not runs:
        parts.nothing_yet("There is no history yet.")
        return
    st.fragment(guarded(_grid), run_every=_IDLE_SECONDS)(desk)
    with st.container(horizontal=True):
        statuses = st.pills("Status", sorted({run.status for run in runs}), selection_mode="multi", key="run_statuses")
        triggers = st.pills(
            "Trigger", sorted({run.trigger for run in runs}), selection_mode="multi", key="run_triggers"
        )
        text = st.text_input("Goal or error contains", key="run_text", width=260)
    chosen = [
        run
        for run in runs
        if (not statuses or run.status in statuses)
        and (not triggers or run.trigger in triggers)
        and text.lower() in f"{run.goal} {run.error or ''}".lower()
    ]
    if not chosen:
        st.info("No run is like that. Take a filter away.")
        return
    pages = -(-len(chosen) // _PAGE)
    page = st.pagination(pages, key="run_page") if pages > 1 else 1
    parts.runs_table(chosen[(page - 1) * _PAGE : page * _PAGE], data.now())
    by_id = {run.id: run for run in [*_asked_for(desk, chosen), *chosen]}
    address.follow("run", "run_chosen", {str(number): number for number in by_id}, chosen[0].id)
    run_id = st.selectbox(
        "Look closely at",
        list(by_id),
        format_func=lambda number: _named(by_id[number]),
        key="run_chosen",
        on_change=address.keep,
        args=("run", "run_chosen"),
    )
    is_open = by_id[run_id].status not in FINAL
    st.fragment(guarded(_closely), run_every=_WORKING_SECONDS if is_open else _IDLE_SECONDS)(desk, run_id)


def _asked_for(desk: Session, chosen: Sequence[Run]) -> list[Run]:
    """The run that the address names, where a filter hides it or it is older than those shown."""
    asked = address.asked("run")
    if asked is None or asked in {str(run.id) for run in chosen}:
        return []
    found = _run_in_address(desk)
    return [] if found is None else [found]


def _named(run: Run) -> str:
    return f"Run {run.id}: {run.status}, {look.when_text(run.started_at or run.created_at)}, {run.goal}"


def _grid(desk: Session) -> None:
    """The grid, and what happened in the cell that the address names."""
    grid.show(run_data.grid_of(desk))
    run, component = _run_in_address(desk), address.asked("component")
    asked = address.asked("run")
    if asked is not None and run is None:
        st.warning(f"There is no run {look.literal(asked[:20])} any more.", icon=":material/link_off:")
    if run is None or component is None:
        return
    step = run_data.step_of(desk, run.id, component)
    if step is None:
        st.warning(f"Run {run.id} was not about {look.literal(component[:100])}.", icon=":material/link_off:")
        return
    st.subheader(f"{component} in run {run.id}")
    grid.step(step)
    _buttons(desk, run, "grid")


def _run_in_address(desk: Session) -> Run | None:
    asked = address.asked("run")
    return run_data.find_run(desk, int(asked)) if asked is not None and asked.isdecimal() and len(asked) < 10 else None


def _closely(desk: Session, run_id: int) -> None:
    at = data.now()
    run, attempts = run_data.run_with_attempts(desk, run_id)
    look.line(
        look.Html(f"Run {run.id}: {parts.status(run, at)}, asked for {look.when(run.created_at, seconds=True)}, "),
        f"took {parts.took(run, at)}: {progress.outcome(run, attempts)}",
    )
    if run.git_commit:
        st.caption(f"code at commit {run.git_commit[:12]}")
    _buttons(desk, run, "runs")
    if attempts:
        names = list(order(desk.workspace.specs))
        rows = len({one.component for one in attempts})
        charts.put(
            graph.timeline(attempts, names, at),
            f"timeline_{run_id}",
            height=70 + 34 * rows,
            alt=f"Timeline of the attempts of run {run_id}",
        )
    for attempt in attempts:
        if attempt.error is not None:
            parts.error(f"{attempt.component} {attempt.status}", attempt.error, attempt.traceback)
    if run.error is not None and not any(attempt.error for attempt in attempts):
        st.warning(look.literal(run.error), icon=":material/info:")
    with st.expander("Events", expanded=True):
        look.table(
            [Column("No.", "num"), Column("At", "short"), Column("Type", "short"), Column("What", "long")],
            [
                (one.seq, look.when(one.created_at, seconds=True), one.type, event_sentence(one.event))
                for one in run_data.events_of(desk, run_id)
            ],
            label="events",
        )


def _buttons(desk: Session, run: Run, place: str) -> None:
    if desk.is_read_only:
        return
    if run.status in FINAL:
        label = "Retry" if run.status != "COMPLETED" else "Run this again"
        again = partial(parts.start_run, desk, run.targets, run.force, hint=": watch it in the Agent tab")
        is_clicked = press.button(label, again, key=f"retry_{place}_{run.id}", icon=":material/replay:", place=place)
    else:
        cancel = partial(actions.cancel_run, desk, run.id)
        is_clicked = press.button("Cancel", cancel, key=f"cancel_{place}_{run.id}", icon=":material/stop:", place=place)
    if is_clicked:
        st.rerun()  # for the table above
    press.outcome(place)
