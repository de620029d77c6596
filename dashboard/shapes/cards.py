"""Answers as cards: the question, what there is to say, and a line without axes where there is one."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

import streamlit as st

from agent.core.answers import Answer, polyline
from dashboard import look
from dashboard.palette import BLUE, GREEN, RED

_WIDTH, _HEIGHT = 240.0, 36.0
_COLOURS = {"good": GREEN, "bad": RED, "plain": BLUE}


def show(answers: Iterable[Answer], label: str) -> None:
    """The cards side by side, as many as fit; `label` names them for screen readers and tests."""
    st.html(f'<section class="tm-cards" aria-label="{html.escape(label)}">{"".join(map(_card, answers))}</section>')


def _card(one: Answer) -> str:
    lines = "".join(f"<p>{look.text(line)}</p>" for line in one.lines)
    head = f'<div class="tm-head tm-{one.tone}">{look.text(one.head)}</div>'
    return f'<article class="tm-card"><h3>{html.escape(one.question)}</h3>{head}{_curve(one)}{lines}</article>'


def _curve(one: Answer) -> str:
    """As a picture: what Streamlit lets through of HTML has no SVG in it."""
    points = polyline(one.curve, _WIDTH, _HEIGHT)
    if not points:
        return ""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {_WIDTH + 4:.0f} {_HEIGHT + 4:.0f}" '
        f'preserveAspectRatio="none"><polyline points="{points}" fill="none" stroke="{_COLOURS[one.tone]}" '
        'stroke-width="2" vector-effect="non-scaling-stroke"/></svg>'
    )
    coded = base64.b64encode(drawn.encode()).decode()
    return f'<img alt="{html.escape(one.question)} Its sum over time" src="data:image/svg+xml;base64,{coded}">'
