"""A component that failed: the error, since when, what waits, how far the release is behind, and the remedies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import streamlit as st

from agent.core.answers import Ref
from agent.core.model import State
from agent.service.failing import Failure
from dashboard import actions, data, look, press
from dashboard.data import Session


def show(desk: Session, states: Mapping[str, State], at: datetime, place: str) -> None:
    """A card for each component among `states` that fails now. `place` names the page, for its buttons."""
    for one in data.failures(desk, states, at):
        with st.container(border=True, key=f"failure_{place}_{one.component}"):
            _card(desk, one, place)
    press.outcome(f"failure_{place}")


def _card(desk: Session, one: Failure, place: str) -> None:
    run = Ref("run", str(one.attempt.run_id), f"run {one.attempt.run_id}")
    look.line(look.text((Ref("component", one.component, one.component), " failed in ", run)))
    st.error(look.literal(one.error), icon=":material/error:")
    for line in one.lines:
        look.line(look.text(line))
    with st.container(horizontal=True):
        if not desk.is_read_only:
            _remedies(desk, one, place)
        with st.popover("Copy for a report", icon=":material/content_copy:"):
            st.code(one.report, language=None)
    if one.bad_rule is not None and not desk.is_read_only:
        st.caption(
            f"Leaving out adds “{look.literal(one.bad_rule)}” to `on_bad_rows` under `[ticks]` of agent.toml: rows "
            "that break this rule are then listed under Markets and ticks instead; any other bad row stops the run as "
            "before."
        )
    if one.attempt.traceback:
        with st.expander("Traceback"):
            st.code(one.attempt.traceback, language=None)


def _remedies(desk: Session, one: Failure, place: str) -> None:
    if one.bad_rule is not None:
        press.button(
            "Leave such rows out and retry",
            partial(_left_out, desk, one.component),
            key=f"leave_out_{place}_{one.component}",
            icon=":material/filter_alt:",
            place=f"failure_{place}",
            kind="primary",
        )
    press.button(
        "Retry",
        partial(_again, desk, one.attempt.run_id),
        key=f"again_{place}_{one.component}",
        icon=":material/refresh:",
        place=f"failure_{place}",
        kind="primary" if one.bad_rule is None else "secondary",
    )


def _left_out(desk: Session, component: str) -> str:
    run = actions.leave_out_and_retry(desk, component)
    return f"Run {run.id} is {run.status.lower()}: it leaves such rows out."


def _again(desk: Session, run_id: int) -> str:
    run = actions.retry(desk, run_id)
    return f"Run {run.id} is {run.status.lower()}."
