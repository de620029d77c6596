"""Plotly figures from plain data. The page's theme (light or dark) gives background and text, the palette the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from agent.core.figures import pnl_text
from dashboard import look
from dashboard.palette import BLUE, GREEN, GREY, ORANGE, RED, STRATEGIES
from pipelines.figures import percent_text

if TYPE_CHECKING:
    import polars as pl

    from dashboard.model_data import Drift, Fold

_DIVERGING = [[0.0, RED], [0.5, "rgba(138,143,152,0.12)"], [1.0, BLUE]]  # orange-red to blue: safe for all eyes
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOSTLY = 0.8  # share of bars
_ONE_BAR = timedelta(minutes=1)  # how broad one is that stands alone
_MARGIN = {"l": 4, "r": 4, "b": 4}
# What axes and legend of prices need mostly. Where they need more, plotly draws all twice, to find that out.
_ROOM = {"l": 62, "t": 34, "b": 44}
_UTC_HOVER = "%{customdata}"


def put(figure: go.Figure, key: str, *, height: int, alt: str) -> None:
    """Show a figure at a height in pixels; `alt` says what it shows to those who cannot see it."""
    figure.update_layout(
        height=height,
        margin={**_MARGIN, "t": 26 if figure.layout.title.text else 8, **figure.layout.margin.to_plotly_json()},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
        dragmode=False,  # a finger that scrolls the page must not zoom the chart
    )
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, alt=alt)


def local(times: Sequence[datetime]) -> list[datetime]:
    """Times in the viewer's zone as plotly takes them: naive, since it knows no zones."""
    zone = look.zone()
    return [at.astimezone(zone).replace(tzinfo=None) for at in times]


def along(times: Sequence[datetime], values: pl.Series | Sequence[float]) -> dict[str, Any]:
    """x, y and customdata (the same times in UTC, for hovering) of a trace: as arrays, which plotly takes as they are,
    while it looks at each item of a list three times."""
    import numpy as np

    return {
        "x": np.array(local(times), dtype="datetime64[s]"),
        "y": np.asarray(values, dtype=np.float64),
        "customdata": np.array(utc_text(times), dtype=object),
    }


def utc_text(times: Sequence[datetime]) -> list[str]:
    """The same times in UTC, for hovering."""
    return [f"{at:%Y-%m-%d %H:%M} UTC" for at in times]


def prices(bars: pl.DataFrame, signals: Sequence[Mapping[str, Any]], resolution: float | None) -> go.Figure:
    """Price, with volume below where there is any; `signals` (ts, price, probability, edge) as markers, a resolution as
    a line. Bars of one tick each are drawn as a line: their candles would be dots."""
    has_volume = bool((bars.get_column("volume") > 0).any())
    figure = make_subplots(
        rows=2 if has_volume else 1,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.78, 0.22] if has_volume else None,
        vertical_spacing=0.03,
    )
    instants = bars.get_column("ts").to_list()
    flat = (bars.get_column("high") == bars.get_column("low")).mean()
    if isinstance(flat, float) and flat > _MOSTLY:
        figure.add_scatter(
            **along(instants, bars.get_column("close")),
            mode="lines",
            line={"color": BLUE, "shape": "hv"},
            hovertemplate=f"%{{y:,.6g}}<br>{_UTC_HOVER}<extra>Price</extra>",
            name="Price",
        )
    else:
        close = along(instants, bars.get_column("close"))
        figure.add_candlestick(
            x=close["x"],
            close=close["y"],
            **{field: bars.get_column(field).to_numpy() for field in ("open", "high", "low")},
            increasing={"line": {"color": BLUE, "width": 1}, "fillcolor": BLUE},
            decreasing={"line": {"color": ORANGE, "width": 1}, "fillcolor": ORANGE},
            text=close["customdata"],
            name="Price",
        )
    if has_volume:
        figure.add_scatter(
            **along(*_in_steps(instants, bars.get_column("volume").to_list())),
            mode="lines",
            line={"color": GREY, "width": 0.5, "shape": "hvh"},
            fill="tozeroy",
            fillcolor=GREY,
            hovertemplate=f"%{{y:,.4g}}<br>{_UTC_HOVER}<extra>Volume</extra>",
            name="Volume",
            row=2,
            col=1,
        )
        figure.update_yaxes(title_text="Volume", row=2, col=1)
    for action, colour, symbol in (
        ("buy", GREEN, "triangle-up"),
        ("sell", RED, "triangle-down"),
        ("hold", GREY, "circle"),
    ):
        mine = [one for one in signals if (one["action"] or "hold") == action]
        _signals(figure, mine, f"Decision: {action}", colour, symbol)
    if resolution is not None:
        text = f"resolved at {resolution:g}"
        figure.add_hline(y=resolution, line={"color": GREEN, "dash": "dash"}, annotation_text=text, row=1, col=1)
    figure.update_xaxes(rangeslider={"visible": False})
    figure.update_yaxes(title_text="Price", exponentformat="none", row=1, col=1)
    figure.update_layout(margin=_ROOM)
    return figure


def _in_steps(times: Sequence[datetime], values: Sequence[float]) -> tuple[list[datetime], list[float]]:
    """Bars as points of one line, a step around each of `times`, at nothing where bars are missing. A browser draws it
    at once, while hundreds of bars take it as long as everything else of the chart. Pure."""
    apart = sorted(after - before for before, after in pairwise(times))
    usual = apart[len(apart) // 2] if apart else _ONE_BAR
    at, high = [times[0] - usual], [0.0]
    for here, value, following in zip_longest(times, values, times[1:]):
        at.append(here)
        high.append(value)
        if following is None or following - here > 1.5 * usual:
            at.append(here + usual)
            high.append(0.0)
            if following is not None:
                at.append(following - usual)
                high.append(0.0)
    return at, high


def _signals(figure: go.Figure, signals: Sequence[Mapping[str, Any]], name: str, colour: str, symbol: str) -> None:
    if not signals:
        return
    times = [one["ts"] for one in signals]
    figure.add_scatter(
        x=local(times),
        y=[one["price"] for one in signals],
        mode="markers",
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1, "color": "white"}},
        customdata=[
            [percent_text(one["probability"]), pnl_text(one["edge"]), text]
            for one, text in zip(signals, utc_text(times), strict=True)
        ],
        hovertemplate="P %{customdata[0]}, edge %{customdata[1]}<br>%{customdata[2]}<extra>Prediction</extra>",
        name=name,
        row=1,
        col=1,
    )


def lines(
    curves: pl.DataFrame,
    column: str,
    form: str,
    *,
    log: bool = False,
    fill: bool = False,
    predicted_to: datetime | None = None,
) -> go.Figure:
    """One column of the strategies' curves over time. `form` is plotly's number format, such as .1%. Days after
    `predicted_to` are shaded: the model decided nothing on them."""
    import polars as pl

    figure = go.Figure()
    for strategy, (name, colour, dash) in STRATEGIES.items():
        rows = curves.filter(pl.col("strategy") == strategy)
        if rows.is_empty():
            continue  # random entries are a distribution, not a curve
        instants = rows.get_column("ts").to_list()
        figure.add_scatter(
            **along(instants, rows.get_column(column)),
            line={"color": colour, "dash": dash, "width": 1.8 if strategy == "model" else 1.4},
            fill="tozeroy" if fill and strategy == "model" else None,
            hovertemplate=f"%{{y:{form}}}<br>{_UTC_HOVER}<extra>{name}</extra>",
            name=name,
        )
    figure.update_yaxes(tickformat=form, type="log" if log else "linear", dtick="D2" if log else None)
    last = curves.get_column("ts").max()
    if predicted_to is not None and isinstance(last, datetime) and last > predicted_to:
        begin, end = local([predicted_to, last])
        words = "not predicted yet: the model waits"
        figure.add_vrect(begin, end, fillcolor=GREY, opacity=0.25, line_width=0, annotation_text=words)
    return figure


def days(returns: pl.DataFrame) -> go.Figure:
    """Returns of each day (UTC): columns ts and value."""
    values = returns.get_column("value").to_list()
    figure = go.Figure(
        go.Bar(
            x=[f"{at:%Y-%m-%d}" for at in returns.get_column("ts").to_list()],
            y=values,
            marker={"color": [BLUE if value >= 0 else RED for value in values]},
            customdata=[pnl_text(value) for value in values],
            hovertemplate="%{x}: %{customdata}<extra></extra>",
        )
    )
    figure.update_yaxes(tickformat="+.1%")
    return figure


def months(returns: pl.DataFrame) -> go.Figure:
    """Returns of each month (columns ts and value): years down, months across."""
    years = sorted(set(returns.get_column("ts").dt.year().to_list()), reverse=True)
    values: list[list[float | None]] = [[None] * 12 for _ in years]
    for at, value in returns.select("ts", "value").iter_rows():
        values[years.index(at.year)][at.month - 1] = value
    limit = max((abs(v) for row in values for v in row if v is not None), default=0.01)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=_MONTHS,
            y=[str(year) for year in years],
            zmin=-limit,
            zmax=limit,
            colorscale=_DIVERGING,
            showscale=False,
            text=[["" if v is None else percent_text(v, sign=True) if v else "0" for v in row] for row in values],
            texttemplate="%{text}",
            textfont={"color": look.ink()},
            customdata=[["" if v is None else pnl_text(v) for v in row] for row in values],
            hovertemplate="%{x} %{y}: %{customdata}<extra></extra>",
            xgap=2,
            ygap=2,
        )
    )
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, range=[-0.5, 11.5])
    return figure


def calibration(bins: Sequence[Mapping[str, float]], base_rate: float) -> go.Figure:
    """Predicted against observed, with 95 % intervals (Wilson 1927, J. Am. Stat. Assoc. 22) and the line of truth."""
    spans = [_wilson(one["observed"], int(one["rows"])) for one in bins]
    predicted, observed = [one["predicted"] for one in bins], [one["observed"] for one in bins]
    low = min([*predicted, *(low for low, _ in spans), base_rate])
    top = max([*predicted, *(high for _, high in spans), base_rate])
    low, top = max(0.0, low - 0.1 * (top - low)), min(1.0, top + 0.1 * (top - low))
    figure = go.Figure()
    figure.add_scatter(
        x=[low, top], y=[low, top], mode="lines", line={"color": GREY, "dash": "dot"}, name="Perfect", hoverinfo="skip"
    )
    figure.add_scatter(
        x=predicted,
        y=observed,
        error_y={
            "array": [high - y for (_, high), y in zip(spans, observed, strict=True)],
            "arrayminus": [y - low for (low, _), y in zip(spans, observed, strict=True)],
            "thickness": 1.2,
        },
        mode="markers+lines",
        marker={"color": BLUE, "size": 8},
        line={"color": BLUE},
        customdata=[
            [percent_text(x), percent_text(y), int(one["rows"])]
            for x, y, one in zip(predicted, observed, bins, strict=True)
        ],
        hovertemplate="predicted %{customdata[0]}, came %{customdata[1]}<br>%{customdata[2]:,} rows<extra></extra>",
        name="Model",
    )
    text = f"base rate {percent_text(base_rate)}"
    figure.add_hline(y=base_rate, line={"color": ORANGE, "dash": "dash"}, annotation_text=text)
    figure.update_xaxes(title_text="Predicted", tickformat=".0%", range=[low, top])
    figure.update_yaxes(title_text="Observed", tickformat=".0%", range=[low, top])
    return figure


def fold_gains(folds: Sequence[Fold]) -> go.Figure:
    """How much better than the base rate each fold was, with its interval; above zero is better."""
    figure = go.Figure(
        go.Scatter(
            x=local([one.start for one in folds]),
            y=[one.gain for one in folds],
            error_y={"array": [one.margin or 0 for one in folds], "thickness": 1.4},
            mode="markers",
            marker={"color": BLUE, "size": 9},
            customdata=[[one.rows, one.train_rows, f"{one.start:%Y-%m-%d %H:%M} UTC"] for one in folds],
            hovertemplate="%{y:+.4f}<br>%{customdata[0]:,} rows, trained on %{customdata[1]:,}<br>"
            "from %{customdata[2]}<extra></extra>",
        )
    )
    figure.add_hline(y=0, line={"color": GREY, "dash": "dot"})
    figure.update_yaxes(title_text="Brier score gained", tickformat="+.4f")
    return figure


def ranked(names: Sequence[str], values: Sequence[float], form: str, limits: Mapping[str, float]) -> go.Figure:
    """Horizontal bars, the first on top, with named limits as lines."""
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=list(names),
            orientation="h",
            marker={"color": BLUE},
            hovertemplate=f"%{{y}}: %{{x:{form}}}<extra></extra>",
        )
    )
    for text, value in limits.items():
        figure.add_vline(
            x=value, line={"color": ORANGE, "dash": "dash"}, annotation_text=text, annotation_position="bottom right"
        )
    figure.update_yaxes(autorange="reversed", tickfont={"size": 11})
    figure.update_xaxes(tickformat=form)
    return figure


def distribution(drift: Drift) -> go.Figure:
    """Share of rows in each training decile: trained on against newest."""
    edges = [f"{edge:.3g}" for edge in drift.edges]
    if edges:
        labels = [f"≤ {edges[0]}", *(f"to {edge}" for edge in edges[1:]), f"> {edges[-1]}", "missing"]
    else:
        labels = ["any", "missing"]
    figure = go.Figure()
    for name, shares, colour in (("Trained on", drift.trained, GREY), ("Newest rows", drift.newest, BLUE)):
        texts = [percent_text(share) for share in shares]
        drawn = {"marker": {"color": colour}, "customdata": texts, "hovertemplate": "%{customdata}"}
        figure.add_bar(x=labels, y=list(shares), name=name, **drawn)
    figure.update_yaxes(tickformat=".0%")
    figure.update_xaxes(tickangle=-45)
    return figure


def overlaid(curves: Mapping[str, tuple[Sequence[datetime], Sequence[float]]]) -> go.Figure:
    """Curves of things of one kind over the same time; of two the first one dashed."""
    figure = go.Figure()
    styles = ((ORANGE, "dash"), (BLUE, "solid"))[-len(curves) :]
    for (name, (times, values)), (colour, dash) in zip(curves.items(), styles, strict=False):
        figure.add_scatter(
            **along(times, values),
            mode="lines",
            line={"color": colour, "dash": dash, "width": 1.6},
            hovertemplate=f"%{{y:.3f}}<br>{_UTC_HOVER}<extra>{name}</extra>",
            name=name,
        )
    return figure


def history(times: Sequence[datetime], series: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """A few named lines over time, with points."""
    figure = go.Figure()
    styles = ((BLUE, "solid"), (ORANGE, "dash"), (GREEN, "dot"))
    for (name, values), (colour, dash) in zip(series.items(), styles, strict=False):
        figure.add_scatter(
            x=local(times),
            y=list(values),
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            customdata=utc_text(times),
            hovertemplate=f"%{{y:.4f}}<br>{_UTC_HOVER}<extra>{name}</extra>",
            name=name,
        )
    return figure


def histogram(values: Sequence[float], form: str, title: str) -> go.Figure:
    """How values spread."""
    figure = go.Figure(go.Histogram(x=list(values), nbinsx=40, marker={"color": BLUE}, hovertemplate="%{x}: %{y}"))
    figure.update_xaxes(tickformat=form, title_text=title)
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot"})
    return figure


def _wilson(share: float, rows: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of `rows`."""
    if rows == 0:
        return 0.0, 1.0
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * (share * (1 - share) / rows + z * z / (4 * rows * rows)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
