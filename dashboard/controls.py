"""The agent's further controls: chosen components, marks, and the background runner."""

from __future__ import annotations

from functools import partial

import streamlit as st

from agent.core.figures import count_text
from agent.core.graph import order
from agent.errors import UsageError
from agent.execution.runlog import Request
from dashboard import actions, data, look, parts, press
from dashboard.data import Session
from dashboard.guard import guarded

_LOOK_SECONDS = 1.0  # the server follows what is asked of its runner within about a second


def show(desk: Session) -> None:
    """The controls, folded."""
    names = list(order(desk.workspace.specs))
    left, middle, right = st.columns(3)
    with left, st.expander("Run selected components"):
        _selected(desk, names)
    with middle, st.expander("Mark dirty"):
        _mark(desk, names)
    with right, st.expander("Background runner"):
        _runner(desk)


@st.fragment
@guarded
def _selected(desk: Session, names: list[str]) -> None:
    targets = st.multiselect(
        "Components", names, key="targets", help="With what they need upstream. None means all of them."
    )
    force = st.multiselect("Recompute in any case", names, key="force", help="Whatever their state is.")
    if targets or force:
        wanted = Request(targets=tuple(targets), force=tuple(force))
        parts.plan_table(data.plan(desk, wanted).plan)
    press.button(
        "Run selected",
        partial(parts.start_run, desk, targets, force),
        key="run_selected",
        icon=":material/play_arrow:",
        place="selected",
        disabled=not (targets or force),
    )
    press.outcome("selected")


@st.fragment  # alone: to redraw the whole page would drop a click elsewhere on it that waits its turn
@guarded
def _mark(desk: Session, names: list[str]) -> None:
    with st.form("mark", border=False, clear_on_submit=True):
        st.selectbox("Component", names, index=None, key="mark_component", placeholder="Choose one")
        st.text_input("Reason", key="mark_reason", placeholder="shown to whoever looks at the state")
        press.submit("Mark dirty", partial(_carry_mark, desk), icon=":material/flag:", place="mark")
    press.outcome("mark")


def _carry_mark(desk: Session) -> str:
    component = st.session_state["mark_component"]
    if component is None:
        raise UsageError("no component is chosen", where="Mark dirty", fix="choose one, then click again")
    actions.mark_dirty(desk, component, st.session_state["mark_reason"])
    return f"{component} is marked; the next run recomputes it."


@st.fragment(run_every=_LOOK_SECONDS)
@guarded
def _runner(desk: Session) -> None:
    found = data.background_runner(desk)
    look.line(f"{found.state}, every {found.interval_minutes} min, next run ", look.when(found.next_run))
    st.caption(
        f"{count_text(found.run_count, 'cycle')} so far, {found.error_count:,} failed, "
        f"{count_text(found.total_forecasts, 'prediction')}"
    )
    if found.last_error:
        st.caption(look.literal(f"Last error: {found.last_error}"))
    if found.state == "running":
        pause = partial(actions.set_runner, desk, "paused")
        press.button("Pause", pause, key="pause", icon=":material/pause:", place="runner")
    elif found.state == "paused":
        resume = partial(actions.set_runner, desk, "running")
        press.button("Resume", resume, key="resume", icon=":material/play_arrow:", place="runner")
    else:
        st.caption("It is started on a server's page: `agent serve`, then **Start** there.")
    press.outcome("runner")
