"""The component graph and the timeline of a run as plotly figures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime

import plotly.graph_objects as go

from agent.core.answers import Ref
from agent.core.figures import count_text
from agent.core.graph import order, reads_of
from agent.core.model import Spec, State
from agent.store.control.attempts import Attempt
from dashboard import address, look
from dashboard.charts import local
from dashboard.health import Look
from dashboard.palette import BLUE, GREEN, GREY, PURPLE, RED
from pipelines.plugins.ordering import levels
from pipelines.values import dataclass

# Room beside the outermost nodes: half of "maybe stale" on a phone, on which seven columns have 50 px each.
_BESIDE = 0.76
_SWAY = 0.22
_ATTEMPT = {
    "succeeded": ("computed", GREEN),
    "same": ("came out the same", BLUE),
    "failed": ("failed", RED),
    "crashed": ("its process died", PURPLE),
    "cancelled": ("cancelled", GREY),
    "running": ("running", BLUE),
}


@dataclass(frozen=True)
class _Place:
    """Where a component stands: x by the longest way to it. side: 1 where its name is above it, -1 where below, so that
    no arrow crosses it."""

    x: float
    y: float
    side: int


def components(specs: Mapping[str, Spec], states: Mapping[str, State], looks: Mapping[str, Look]) -> go.Figure:
    """The graph: one node per component, coloured by how it stands; reasons and versions on hover.

    An edge that another way implies is left out; the hover text names every input.
    """
    places = _places(specs)
    figure = go.Figure()
    for name, upstream in _needed_edges(specs).items():
        for other in upstream:
            _arrow(figure, places[other], places[name])
    names = list(places)
    figure.add_scatter(
        x=[places[name].x for name in names],
        y=[places[name].y for name in names],
        mode="markers+text",
        marker={"size": 26, "color": [looks[name].colour for name in names], "symbol": "circle"},
        text=[_named(name, looks[name].word) for name in names],
        textposition=["top center" if places[name].side > 0 else "bottom center" for name in names],
        textfont={"size": 13, "color": look.ink()},
        customdata=[_hover(specs[name], states[name], looks[name]) for name in names],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
        cliponaxis=False,
    )
    across, up = [one.x for one in places.values()], [one.y for one in places.values()]
    figure.update_xaxes(visible=False, range=[-_BESIDE, max(across) + _BESIDE], fixedrange=True)
    figure.update_yaxes(visible=False, range=[min(up) - 0.6, max(up) + 0.6] if up else None, fixedrange=True)
    return figure


def timeline(attempts: Sequence[Attempt], components_in_order: Sequence[str], now: datetime) -> go.Figure:
    """Attempts of a run as bars over time, one row per component; the newest end of a running one is now."""
    figure = go.Figure()
    for kind, (text, colour) in _ATTEMPT.items():
        mine = [one for one in attempts if _kind(one) == kind]
        if not mine:
            continue
        ends = [one.finished_at or now for one in mine]
        figure.add_bar(
            base=local([one.started_at for one in mine]),
            x=[max(1.0, (end - one.started_at).total_seconds() * 1000) for one, end in zip(mine, ends, strict=True)],
            y=[one.component for one in mine],
            orientation="h",
            marker={"color": colour, "pattern": {"shape": "/" if kind in ("failed", "crashed") else ""}},
            customdata=[_attempt_hover(one, end) for one, end in zip(mine, ends, strict=True)],
            hovertemplate="%{customdata}<extra></extra>",
            name=text,
            width=0.55,
        )
    ran = {one.component for one in attempts}
    figure.update_xaxes(type="date")
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[name for name in reversed(components_in_order) if name in ran],
    )
    figure.update_layout(barmode="overlay")
    return figure


def _kind(attempt: Attempt) -> str:
    return "same" if attempt.status == "succeeded" and attempt.is_cut_off else attempt.status


def _attempt_hover(attempt: Attempt, end: datetime) -> str:
    seconds = (end - attempt.started_at).total_seconds()
    lines = [f"<b>{html.escape(attempt.component)}</b>, try {attempt.number}: {attempt.status}", f"{seconds:.2f} s"]
    lines.append(f"{attempt.started_at:%Y-%m-%d %H:%M:%S} UTC")
    if attempt.rows is not None:
        lines.append(count_text(attempt.rows, "row"))
    if attempt.peak_memory_bytes:
        lines.append(f"{attempt.peak_memory_bytes / 1e6:,.0f} MB at most")
    return "<br>".join(lines)


def _named(name: str, word: str) -> str:
    """A node's text, whose name leads to the component."""
    href = address.of(Ref("component", name, name))
    return f'<a href="{href}" target="_self" style="color:{look.ink()}"><b>{name}</b></a><br>{word}'


def _places(specs: Mapping[str, Spec]) -> dict[str, _Place]:
    """Component -> its place; what has a column for itself stands a little higher and lower by turns, so that its name
    has room on a phone beside those of its neighbours.

    Where several share one, those that nothing reads stand outside. Arrows to and from the outer ones are steep: they
    go where the neighbours' names are not.
    """
    needed = _needed_edges(specs)
    read = {up for ups in needed.values() for up in ups}
    places: dict[str, _Place] = {}
    side, steep = -1, False
    for depth, column in enumerate(levels(reads_of(specs))):
        inner, *outer = sorted(column, key=lambda name: name not in read)
        side = side if outer or steep else -side
        places[inner] = _Place(depth, 0.0 if outer else _SWAY * side, side)
        places |= {name: _Place(depth, -float(side * row), -side) for row, name in enumerate(outer, 1)}
        steep = not read.isdisjoint(outer)
    return places


def _needed_edges(specs: Mapping[str, Spec]) -> dict[str, list[str]]:
    """Edges that no longer way implies."""
    above: dict[str, set[str]] = {}
    for name in order(specs):
        above[name] = set(specs[name].upstream).union(*(above[up] for up in specs[name].upstream))
    return {
        name: [up for up in spec.upstream if not any(up in above[other] for other in spec.upstream)]
        for name, spec in specs.items()
    }


def _arrow(figure: go.Figure, start: _Place, end: _Place) -> None:
    figure.add_annotation(
        x=end.x,
        y=end.y,
        ax=start.x,
        ay=start.y,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        standoff=17,
        startstandoff=17,
        showarrow=True,
        arrowhead=2,
        arrowsize=1.1,
        arrowwidth=1.4,
        arrowcolor=GREY,
    )


def _hover(spec: Spec, state: State, stand: Look) -> str:
    lines = [f"<b>{spec.name}</b>: {stand.word}"]
    if stand.why:
        lines += _folded(stand.why)
    lines.append(f"version {look.short(state.output_version)}, {count_text(state.output_rows or 0, 'row')}")
    if state.last_run_at is not None:
        lines.append(f"last success {look.when_text(state.last_run_at)} ({state.last_run_at:%Y-%m-%d %H:%M} UTC)")
    lines += [f"reads {name} {look.short(record.version)}" for name, record in sorted(state.inputs.items())]
    if not state.inputs and spec.upstream:
        lines.append(f"reads {', '.join(spec.upstream)}")
    return "<br>".join(lines)


def _folded(text: str, width: int = 70) -> list[str]:
    import textwrap

    return [html.escape(line) for line in textwrap.wrap(text, width)]
