"""Buttons whose click is not lost, whatever the page looks like by the time it arrives.

A page that looks every second is redrawn between the moment a person sees a button and the moment the click
arrives. By then what the button stands under may no longer hold, or drawing may fail above it: `if st.button(...)`
would not be reached, and the click would be gone without a word. So what a button does is done before anything is
drawn. Its error stays until the next click: in the place of what that one drawing shows, the next look wipes it away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from dashboard import guard

_DONE, _SAID, _FAULT = "press_done", "press_said", "press_fault"


def button(
    label: str,
    act: Callable[[], str | None],
    *,
    key: str,
    icon: str,
    place: str,
    kind: Literal["primary", "secondary"] = "secondary",
    disabled: bool = False,
    hint: str | None = None,
) -> bool:
    """A button that calls `act` once for a click; what comes of it, `outcome(place)` shows. True in the drawing that
    follows.

    `act` draws nothing. What it returns is shown in a toast.
    """
    # A token of this drawing: the browser sends a click twice where another fragment's look falls due at that moment.
    return st.button(
        label,
        key=key,
        icon=icon,
        type=kind,
        disabled=disabled,
        help=hint,
        on_click=_carry_out,
        args=(act, place, object()),
    )


def submit(
    label: str,
    act: Callable[[], str | None],
    *,
    icon: str,
    place: str,
    kind: Literal["primary", "secondary"] = "secondary",
) -> None:
    """The same for a form: its button. `act` finds what was filled in in the session's state, under the keys of the
    form's parts."""
    st.form_submit_button(label, icon=icon, type=kind, on_click=_carry_out, args=(act, place, object()))


def outcome(place: str) -> None:
    """What the newest click returned or which error it met, where it was one on a button of `place`."""
    answer: tuple[str, str] | None = st.session_state.get(_SAID)
    if answer is not None and answer[0] == place:
        st.session_state[_SAID] = None
        st.toast(answer[1])
    kept: tuple[str, Exception] | None = st.session_state.get(_FAULT)
    if kept is not None and kept[0] == place:
        guard.show(kept[1])


def _carry_out(act: Callable[[], str | None], place: str, drawing: object) -> None:
    if st.session_state.get(_DONE) is drawing:
        return
    st.session_state[_DONE] = drawing
    st.session_state[_FAULT] = None
    try:
        answer = act()
        # Shown later: Streamlit keeps toasts and the style sheet in one place, and a callback writes at its beginning.
        st.session_state[_SAID] = None if answer is None else (place, answer)
    except Exception as error:
        st.session_state[_FAULT] = (place, error)
