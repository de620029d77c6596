"""Imports what most tabs need once the first page is drawn, while its viewer reads it.

Tables and charts need libraries that take most of a second to import. A page does not wait for those that it does not
use; without this the first one to open such a tab would.

Streamlit collects garbage after each look, while its last words wait. What libraries consist of stays for good and is
left out of that: looking through it took 0.14 s of each answer.
"""

from __future__ import annotations

import gc
import importlib
import threading

import streamlit as st

_NEEDED = ("polars", "pandas", "pyarrow", "plotly.graph_objects")


@st.cache_resource(show_spinner=False)
def fetch() -> threading.Thread:
    """Begin to import them, once for all viewers. One that a page imports meanwhile it waits for."""
    thread = threading.Thread(target=_import, name="libraries", daemon=True)
    thread.start()
    return thread


def _import() -> None:
    for name in _NEEDED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
