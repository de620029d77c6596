"""The grid of components and runs: a sign and a colour in each cell, which leads to what happened there."""

from __future__ import annotations

import html

import streamlit as st

from agent.core.answers import Ref
from agent.core.figures import span_text
from agent.core.grid import MEANINGS, SIGNS, Cell, Column, Grid, Outcome, evidence_rows
from agent.execution.story import StepHistory
from dashboard import address, look, parts
from dashboard.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED

_COLOURS: dict[Outcome, str] = {
    "computed": GREEN,
    "same": BLUE,
    "up to date": GREY,
    "deferred": PURPLE,
    "blocked": ORANGE,
    "failed": RED,
    "crashed": RED,
    "cancelled": GREY,
    "running": BLUE,
    "waiting": GREY,
}
_HIGH = 34.0  # pixels of the longest run


def show(grid: Grid) -> None:
    """The grid with its legend."""
    bars = "".join(_bar(one, grid.longest) for one in grid.columns)
    rows = "".join(
        f'<tr><th scope="row">{look.link(Ref("component", name, name))}</th>{"".join(map(_cell, cells))}</tr>'
        for name, cells in grid.rows
    )
    head = f"<thead><tr><th>up to {html.escape(span_text(grid.longest))}</th>{bars}</tr></thead>"
    legend = " ".join(
        f'<span><b style="color:{_COLOURS[outcome]}">{sign}</b> {html.escape(MEANINGS[outcome])}</span>'
        for outcome, sign in SIGNS.items()
        if sign
    )
    st.html(
        f'<div class="tm-grid"><table aria-label="grid">{head}<tbody>{rows}</tbody></table></div>'
        f'<div class="tm-legend tm-soft">{legend}</div>'
    )


def _bar(one: Column, longest: float) -> str:
    high = 2 + _HIGH * (one.seconds or 0.0) / (longest or 1.0)
    took = "not over" if one.seconds is None else span_text(one.seconds)
    words = html.escape(f"Run {one.run_id}, {look.when_text(one.began)}, {took}, {one.status.lower()}")
    colour = RED if one.status == "FAILED" else GREEN if one.status == "COMPLETED" else GREY
    to = html.escape(address.of(Ref("run", str(one.run_id), "")))
    mark = f'<i style="height:{high:.1f}px;background:{colour}"></i>'
    return f'<th><a href="{to}" target="_self" title="{words}" aria-label="{words}">{mark}</a></th>'


def _cell(one: Cell) -> str:
    if one.outcome == "waiting":
        return "<td></td>"
    took = "" if one.seconds is None else f", {span_text(one.seconds)}"
    words = html.escape(f"{one.component} in run {one.run_id}: {MEANINGS[one.outcome]}{took}")
    to = html.escape(address.of_step(one.run_id, one.component))
    return (
        f'<td><a href="{to}" target="_self" title="{words}" aria-label="{words}" '
        f'style="color:{_COLOURS[one.outcome]}">{SIGNS[one.outcome]}</a></td>'
    )


def step(one: StepHistory) -> None:
    """What happened in one cell, and why."""
    size = ""
    if one.attempt is not None and one.attempt.rows is None:
        size = f", {look.number(one.attempt.seconds, '.2f')} s"
    elif one.attempt is not None:
        size = (
            f", {look.number(one.attempt.seconds, '.2f')} s, {look.number(one.attempt.rows, ',.0f')} rows; "
            f"partitions: {look.number(one.attempt.recomputed_partitions, ',.0f')} recomputed, "
            f"{look.number(one.attempt.carried_partitions, ',.0f')} carried over"
        )
    look.line(look.dot(_COLOURS[one.outcome], MEANINGS[one.outcome]), size)
    for sentence in one.sentences:
        look.line(f"{sentence}.")
    if one.reasons:
        look.table(
            [look.Column("Reason", "short"), look.Column("About", "long"), look.Column("Before"), look.Column("After")],
            evidence_rows(one.reasons),
            label="evidence",
        )
    if one.attempt is not None and one.attempt.error is not None:
        parts.error(f"{one.component} {one.attempt.status}", one.attempt.error, one.attempt.traceback)
