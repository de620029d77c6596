"""Errors of a page or a fragment as a person reads them, instead of a blank page."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

from dashboard import look
from pipelines.errors import PipelineError

_P = ParamSpec("_P")


def guarded(function: Callable[_P, None]) -> Callable[_P, None]:
    """`function`, whose errors are shown where it would have drawn. Streamlit reruns a fragment by itself, so each one
    needs its own guard."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:
            show(error)

    return run


def show(error: Exception) -> None:
    """An error: one of ours in words, any other as the fault in the program that it is."""
    if isinstance(error, PipelineError):
        look.fault(error)
        return
    st.error(f"This page met a fault in the program: {type(error).__name__}", icon=":material/error:")
    with st.expander("Traceback, for a bug report"):
        st.code("".join(traceback.format_exception(error)), language=None)
