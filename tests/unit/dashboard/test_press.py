"""Buttons that lose no click: what a click does is done, and its error stays, however the page is drawn then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.lazy import Lazy

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

testing = Lazy("streamlit.testing.v1")


@pytest.fixture(autouse=True)
def _main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts its page in the place of `__main__`, which every child process of a later test would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def _page() -> None:
    import streamlit as st

    from dashboard import press
    from pipelines.errors import PipelineError

    def act() -> str:
        st.session_state["clicks"] = st.session_state.get("clicks", 0) + 1
        if st.session_state.get("fails"):
            raise PipelineError("the disk is full")
        return "done"

    if st.session_state.get("breaks"):
        raise ValueError("above the button")
    if not st.session_state.get("hides"):
        press.button("Go", act, key="go", icon=":material/stop:", place="here")
    if not st.session_state.get("skips"):
        with st.form("form"):
            st.text_input("Word", key="word")
            press.submit("Send", lambda: f"{act()}: {st.session_state['word']}", icon=":material/flag:", place="here")
    press.outcome("here")
    press.outcome("elsewhere")


def _errors(page: AppTest) -> list[str]:
    return [one.value for one in page.error]


def test_a_click_arrives_though_its_button_is_not_drawn_any_more() -> None:
    for change in ("hides", "breaks"):
        page = testing.AppTest.from_function(_page).run()
        page.session_state[change] = True
        page.button(key="go").click().run()
        assert page.session_state["clicks"] == 1


def test_a_form_arrives_though_it_is_not_drawn_any_more() -> None:
    for change in ("skips", "breaks"):
        page = testing.AppTest.from_function(_page).run()
        page.session_state[change] = True
        page.text_input(key="word").input("odd")
        next(one for one in page.button if one.label == "Send").click().run()
        assert page.session_state["clicks"] == 1
        del page.session_state["clicks"], page.session_state[change]
        if change == "breaks":
            assert [one.value for one in page.run().toast] == ["done: odd"]


def test_what_a_click_says_is_told_once() -> None:
    page = testing.AppTest.from_function(_page).run()
    page.button(key="go").click().run()
    assert [one.value for one in page.toast] == ["done"]
    assert not page.run().toast


def test_an_error_stays_until_the_next_click() -> None:
    page = testing.AppTest.from_function(_page).run()
    page.session_state["fails"] = True
    page.button(key="go").click().run()
    for _ in range(3):
        assert _errors(page) == ["**the disk is full**"]
        page.run()
    page.session_state["fails"] = False
    page.button(key="go").click().run()
    assert _errors(page) == []
    assert page.session_state["clicks"] == 2


def test_a_click_that_is_sent_twice_counts_once() -> None:
    page = testing.AppTest.from_function(_page).run()
    page.button(key="go").click()
    sent = page._tree.get_widget_states()
    page.session_state["hides"] = True  # what is drawn is another part of the page
    page._run(sent)
    page._run(sent)
    assert page.session_state["clicks"] == 1
