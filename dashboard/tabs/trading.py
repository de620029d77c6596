"""Trading: state and why, how far each limit is away, what is held, what waits, and why nothing was traded."""

from __future__ import annotations

from functools import partial

import streamlit as st

from agent.trading.overview import Overview, Table
from dashboard import actions, data, look, press
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from dashboard.shapes import account

TITLE, ICON, ORDER = "Trading", ":material/swap_vert:", 75
_LOOK_SECONDS = 2.0


def is_shown(desk: Session) -> bool:
    """Only where a trader ever ran: else there is nothing to be said."""
    return data.has_trader(desk)


def show(desk: Session) -> None:
    """The page."""
    st.fragment(guarded(_live), run_every=_LOOK_SECONDS)(desk)
    if not desk.is_read_only:
        st.fragment(guarded(_steer), run_every=_LOOK_SECONDS)(desk)


def _live(desk: Session) -> None:
    for one in data.traders(desk):
        st.subheader(one.name)
        account.head(one)
        account.picture(one)
        _table(one.limits)
        for table in one.tables:
            _table(table)


def _table(one: Table) -> None:
    st.subheader(one.title)
    if not one.rows:
        st.caption(one.none)
    else:
        last = len(one.headings) - 1
        kinds = ["num" if number in one.numbers else "long" if number == last else "" for number in range(last + 1)]
        columns = [Column(*pair) for pair in zip(one.headings, kinds, strict=True)]
        look.table(columns, [[look.text(parts) for parts in row] for row in one.rows], label=one.title.lower())
    if one.note:
        st.caption(one.note)


def _steer(desk: Session) -> None:
    for one in data.traders(desk):
        if one.can_pause:
            _pause(desk, one)
    st.subheader("Kill switch")
    st.caption(
        "Nothing is sent from then on but what closes. Every trader of this project cancels what rests, closes what it "
        "holds and ends; `agent kill-switch reset` lets it trade again."
    )
    st.text_input("Why close everything", key="kill_reason", placeholder="why, for those who look later")
    press.button(
        "Close everything",
        partial(_with_reason, "kill_reason", partial(actions.close_everything, desk)),
        key="kill",
        icon=":material/dangerous:",
        place="trading",
        kind="primary",
    )
    press.outcome("trading")


def _pause(desk: Session, one: Overview) -> None:
    st.subheader(f"Steer {one.name}")
    st.caption(
        "To resume takes a person's pause back, and no other reason."
        if one.is_paused
        else "Nothing new is opened while it is paused; what reduces a position goes on."
    )
    verb, act = ("resume", actions.resume_trader) if one.is_paused else ("pause", actions.pause_trader)
    key = f"{verb}_{one.agent_id}"
    st.text_input(f"Why {verb}", key=f"{key}_reason", placeholder="why, for those who look later")
    press.button(
        verb.capitalize(),
        partial(_with_reason, f"{key}_reason", partial(act, desk, one.agent_id)),
        key=key,
        icon=":material/play_arrow:" if one.is_paused else ":material/pause:",
        place="trading",
    )


def _with_reason(key: str, act: partial[str]) -> str:
    """Do it for the reason that was typed into the field, as it stands by the time the click arrives."""
    return act(str(st.session_state.get(key, "")))
