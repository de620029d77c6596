"""Imports what most tabs need while the server starts and the first viewer's browser loads Streamlit's scripts.

Tables and charts need libraries that take most of a second to import: without this the first one to open such a tab
would wait for them. Pages wait until all are there, since plotly asks whether values are of libraries it finds begun.

Streamlit collects garbage after each look, while its last words wait. What libraries consist of stays for good and is
left out of that: looking through it took 0.14 s of each answer, and 0.06 s for those of a model, which are imported by
the first who looks at one.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from dataclasses import dataclass
from functools import cache

_NEEDED = ("polars", "pandas", "pyarrow", "agent.execution.workspace", "plotly.graph_objects")
_MANY = 100  # modules


@dataclass
class _LeftOut:
    """How many modules there were when they were last left out of collecting."""

    modules: int = 0


_left_out = _LeftOut()


@cache
def fetch() -> threading.Thread:
    """Begin to import them, once in a process; whoever joins the thread waits for them."""
    thread = threading.Thread(target=_import, name="libraries", daemon=True)
    thread.start()
    return thread


def leave_out() -> None:
    """Leave all that there is now out of collecting garbage, where many modules came since that was last done. What
    pages hold at that moment goes when nothing refers to it; no more than a few such moments come in a process."""
    if len(sys.modules) - _left_out.modules < _MANY:
        return
    _left_out.modules = len(sys.modules)
    gc.collect()
    gc.freeze()


def _import() -> None:
    for name in _NEEDED:
        importlib.import_module(name)
    importlib.import_module("plotly.graph_objects").Figure()  # the first one reads plotly's templates
    leave_out()
