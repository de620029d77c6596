"""The dashboard's door: nothing before the password, guesses are limited, and its owner is let in meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lazy import Lazy

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

access, testing = Lazy("dashboard.access"), Lazy("streamlit.testing.v1")
LOOPBACK = ["127.0.0.1", "localhost", "::1", "127.8.9.1"]


@given(address=st.sampled_from(["0.0.0.0", "::", "192.168.1.7", "example.org", "", "127.0.0.1.example.org"]))
def test_others_reach_it_with_a_long_password_alone(address: str) -> None:
    assert "no password" in access.fault_of(address, "")
    assert "can be guessed" in access.fault_of(address, "x" * 15)
    assert access.fault_of(address, "x" * 16) is None


@pytest.mark.parametrize("address", LOOPBACK)
def test_on_this_machine_any_will_do(address: str) -> None:
    assert access.fault_of(address, "") is None
    assert access.fault_of(address, "tide") is None


def test_nothing_is_shown_before_the_password_and_guesses_are_limited() -> None:
    guesser, owner = (testing.AppTest.from_function(_guarded_page).run() for _ in range(2))
    for number in range(8):
        _type(guesser, f"guess {number}")
        (error,) = guesser.error
        assert ("Too many" in error.value) == (number >= 5)
        assert "the secret" not in _words(guesser)
    assert "the secret" not in _words(owner)
    _type(owner, "tide")
    assert "the secret" in _words(owner)
    owner.run()
    assert "the secret" in _words(owner), "asked once for each viewer"


def _type(page: AppTest, password: str) -> None:
    page.text_input[0].set_value(password)
    page.button[0].click().run()


def _words(page: AppTest) -> list[str]:
    assert not page.exception
    return [one.value for one in page.markdown]


def _guarded_page() -> None:
    import streamlit as st

    from agent.sections.dashboard import Settings
    from dashboard import access

    st._config.set_option("server.address", "127.0.0.1")
    access.require(Settings(password="tide"))
    st.markdown("the secret")
