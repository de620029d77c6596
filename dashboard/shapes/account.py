"""An account that is traded: its state in a sentence, its figures, and equity with peak and limits as lines."""

from __future__ import annotations

import base64
import html

import streamlit as st

from agent.core.answers import together
from agent.trading.overview import Overview
from dashboard import look
from dashboard.palette import BLUE, GREEN, GREY, ORANGE, RED

_WIDE, _TALL = 720.0, 160.0
_COLOURS = {"Equity": BLUE, "Peak": GREY, "Loss limit": RED, "Fall limit": ORANGE, "Gain limit": GREEN}


def head(one: Overview) -> None:
    """State and why, and the figures, as a card."""
    facts = "".join(f"<p>{html.escape(name)}: <b>{look.text(parts)}</b></p>" for name, parts in one.facts)
    st.html(
        f'<section class="tm-cards" aria-label="state of {html.escape(one.name)}"><article class="tm-card">'
        f'<div class="tm-head tm-{one.tone}">{look.text(one.sentence)}</div>{facts}</article></section>'
    )


def picture(one: Overview) -> None:
    """Equity over time, solid, with its peak and the limits, dashed. As a picture: what Streamlit lets through of HTML
    has no SVG in it."""
    if not one.curves:
        return
    names = [name for name, _ in one.curves]
    points = together([line for _, line in one.curves], _WIDE, _TALL)
    lines = "".join(
        f'<polyline points="{drawn}" fill="none" stroke="{_COLOURS[name]}" stroke-width="2" '
        f'stroke-dasharray="{"" if name == "Equity" else "6 4"}" vector-effect="non-scaling-stroke"/>'
        for name, drawn in zip(names, points, strict=True)
    )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -2 {_WIDE:.0f} {_TALL + 4:.0f}" '
        f'preserveAspectRatio="none">{lines}</svg>'
    )
    coded = base64.b64encode(drawn.encode()).decode()
    alt = "Equity, its peak and the limits"
    st.html(
        f'<img alt="{alt}" style="display:block;width:100%;height:10rem" src="data:image/svg+xml;base64,{coded}">'
        f'<div class="tm-legend">{"".join(f"<span>{look.dot(_COLOURS[name], name)}</span>" for name in names)}</div>'
    )
