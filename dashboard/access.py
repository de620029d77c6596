"""Who may look: a password where one is set, and nobody from another machine where none is that is hard to guess."""

from __future__ import annotations

import hmac
import ipaddress
import time
from dataclasses import dataclass, field

import streamlit as st

from agent.sections.dashboard import Settings as DashboardSettings

LEAST_PASSWORD = 16  # off loopback, as for the API's token
_TRIES, _WINDOW_SECONDS = 5, 60.0


@dataclass
class _FailedLogins:
    """Wrong passwords lately, over all viewers: guessing is slow whoever does it."""

    at: list[float] = field(default_factory=list)

    def is_too_many(self) -> bool:
        now = time.monotonic()
        self.at = [one for one in self.at if now - one < _WINDOW_SECONDS]
        return len(self.at) >= _TRIES


def require(settings: DashboardSettings) -> None:
    """Return where the viewer may go on; otherwise ask, or say why not, and end the page."""
    address = str(st.get_option("server.address") or "0.0.0.0")  # noqa: S104 (Streamlit's default, to be refused)
    fault = fault_of(address, settings.password)
    if fault is not None:
        st.error(fault, icon=":material/lock:")
        st.stop()
    if not settings.password or st.session_state.get("is_known"):
        return
    _ask(settings.password)
    st.stop()


def fault_of(address: str, password: str) -> str | None:
    """Why nobody is let in where the dashboard listens on `address`: others reach it, and no password keeps them out
    that is hard to guess. None where that is fine. Pure."""
    if is_loopback(address) or len(password) >= LEAST_PASSWORD:
        return None
    has = f"a password of fewer than {LEAST_PASSWORD} characters, which can be guessed" if password else "no password"
    return (
        f"The dashboard listens on {address}, where others can reach it, and has {has}.\n\n"
        f"Set `password` under `[dashboard]` in agent.toml, or AGENT_DASHBOARD_PASSWORD, to {LEAST_PASSWORD} "
        "characters or more, and start it again; or let it listen on 127.0.0.1."
    )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach `address`."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@st.cache_resource(show_spinner=False)
def _tries() -> _FailedLogins:
    return _FailedLogins()


def _ask(password: str) -> None:
    with st.form("password", width=420):
        given = st.text_input("Password", type="password")
        if not st.form_submit_button("Open", type="primary"):
            return
    # The right one first: whoever guesses must not keep its owner out.
    if hmac.compare_digest(given.encode(), password.encode()):
        st.session_state["is_known"] = True
        st.rerun()
    elif _tries().is_too_many():
        st.error("Too many wrong passwords. Wait a minute, then try again.")
    else:
        _tries().at.append(time.monotonic())
        st.error("This is not the password. It stands under [dashboard] in agent.toml.")
