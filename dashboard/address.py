"""Addresses: a link leads to a run, a market, a component, a release or two of them; a reload keeps the place.

A click on a link changes the address alone, and the page follows: see shell.js. Where that script does not run, the
link is still a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlencode

import streamlit as st

from agent.core.answers import Ref

_T = TypeVar("_T")
# What it is -> the tab that shows one, and the name in the address.
_PLACES = {
    "component": ("component", "component"),
    "market": ("markets", "market"),
    "release": ("signals", "release"),
    "run": ("runs", "run"),
}


def of(ref: Ref) -> str:
    """The address of what a name stands for, beside the page that is open."""
    tab, name = _PLACES[ref.kind]
    return f"./{tab}?{urlencode({name: ref.key})}"


def of_step(run_id: int, component: str) -> str:
    """The address of what happened to a component in a run."""
    return f"./runs?{urlencode({'run': run_id, 'component': component})}"


def of_backtest(**chosen: str | None) -> str:
    """The address of the backtest with so many more choices on it, or fewer where one is None."""
    kept = {name: value for name, value in {**st.query_params.to_dict(), **chosen}.items() if value is not None}
    return f"./backtest?{urlencode(kept)}"


def asked(name: str) -> str | None:
    """What the address says under `name`."""
    found: str | None = st.query_params.get(name)
    return found


def put(name: str, value: object) -> None:
    """Let the address say so, or no longer where `value` is None."""
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = str(value)


def follow(name: str, key: str, options: Mapping[str, _T], default: _T) -> None:
    """Let the widget `key` show what the address says under `name`, where that is one of `options`; at first `default`.

    The widget's `on_change` is `keep`, which happens before the next drawing: then both say what was chosen.
    """
    wanted = asked(name)
    if wanted is not None and wanted in options:
        st.session_state[key] = options[wanted]
    elif st.session_state.get(key) not in options.values():
        st.session_state[key] = default


def keep(name: str, key: str) -> None:
    """Let the address say what the widget `key` was set to, and nothing more of what was there before."""
    put(name, st.session_state[key])
