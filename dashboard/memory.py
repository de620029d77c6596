"""Gives memory back that a page which looks every second leaves behind.

Each look makes a thread and some thousands of objects. Those that refer to each other wait for a full collection, which
Python puts off as long as they are few beside what lives on; and the C library keeps what was freed in the arena of the
thread that had it. Together that grew by a megabyte in a minute, without anything being held.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time

import streamlit as st

_EVERY_SECONDS = 60.0


@st.cache_resource(show_spinner=False)
def keep_small() -> threading.Thread:
    """Collect and give back each minute, for as long as this process lives; begun once, whoever looks."""
    thread = threading.Thread(target=_go_on, name="memory", daemon=True)
    thread.start()
    return thread


def give_back() -> None:
    """Collect what nothing refers to, and return free memory to the system where the C library can (glibc)."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows: they have no such function
        return


def _go_on() -> None:
    while True:
        time.sleep(_EVERY_SECONDS)
        give_back()
