"""The release as one page: charts and tables from plain data, readable in light and dark. The script that draws lies
beside it, since it has two hundred times the size.

Knows nothing of partitions or gates; the same data gives the same page (with the same release of plotly).
"""

from __future__ import annotations

import hashlib
import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.data.quoting import price_text
from pipelines.figures import number_text, percent_text, return_text
from pipelines.modelling.annual import FROM_A_YEAR, is_short, without_annual
from pipelines.modelling.metrics import chance_text
from pipelines.snapshot import digest

if TYPE_CHECKING:
    import polars as pl

CURVES = {"model": "Model", "buy_and_hold": "Buy and hold"}
# Okabe and Ito's blue, orange and grey, shifted to stand out on white and on black; told apart by dashes as well.
_LINES = {"model": ("#2f86d0", "solid"), "buy_and_hold": ("#d9820f", "dash")}
_SHOWN_PREDICTIONS = 50
_CHART_POINTS = 1500  # more points than pixels only make the page heavy
_LOG_SCALE_FROM = 10.0  # a curve that grew or fell tenfold says more on a logarithmic axis

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5a636e;--paper:#fff;--card:#f5f7f9;--line:#d5dae0}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#a3adb8;--paper:#14171b;--card:#1d2227;--line:#38404a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:24px 16px 48px;background:var(--paper);color:var(--ink);
 font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 6px}
p{margin:4px 0 10px;max-width:80ch}.soft{color:var(--soft)}
.note{background:var(--card);border-left:4px solid #d9820f;padding:10px 14px;margin:14px 0}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 8px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{color:var(--soft);font-weight:600;vertical-align:bottom}th.text,td.text{text-align:left}
td.long{white-space:normal;min-width:16ch}
@media (max-width:640px){th.text,td.text{white-space:normal}}
code{font-size:13px}
.js-plotly-plot .main-svg{background:transparent!important}
.js-plotly-plot .bg{fill:transparent!important}
.js-plotly-plot .infolayer text,.js-plotly-plot .xaxislayer-above text,.js-plotly-plot .yaxislayer-above text,
.js-plotly-plot .cartesianlayer text{fill:var(--ink)!important}
.js-plotly-plot .gridlayer path,.js-plotly-plot .zerolinelayer path{stroke:var(--line)!important}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Tidemill release, as of {as_of}</title><style>{style}</style><script>{plotly}</script></head><body>
<h1>Market signals</h1>
<p><b>{assessment}</b></p>
{record}<p class="soft">Tidemill release, data as of {as_of} UTC</p>
<div class="note"><b>Simulated on past data.</b> The curves below trade predictions that were made out of sample, with
fees and slippage, on bars up to {as_of} UTC. They are a backtest, not a record of real trading, and no promise.</div>
<h2>Backtest</h2>
<p>{span}. {account}</p>
<p>Buy and hold is an equal weight in every market;
random entry repeats the model's trades at random times in random markets, 200 times: the band holds 95 % of them, and
the thin line is the model's closed trades by the same formula, to compare with the band: positions still open count in
neither. {chance}</p>
<div class="wide" tabindex="0" role="region" aria-label="Figures">{figures}</div>
{annual}{equity}
{drawdown}
<h2>Calibration</h2>
<p>{calibration_text}</p>
{calibration}
<h2>Walk-forward folds</h2>
<p>Each row is predicted by a model trained only on what was known before it. Brier score and log loss: lower is
better; beside each stands that of always saying the training rows' base rate.</p>
<div class="wide" tabindex="0" role="region" aria-label="Folds">{folds}</div>
<h2>Newest predictions</h2>
<p>{prediction_text}</p>
<div class="wide" tabindex="0" role="region" aria-label="Predictions">{predictions}</div>
<h2>Where this comes from</h2>
<div class="wide" tabindex="0" role="region" aria-label="Versions">{inputs}</div>
</body></html>
"""


# Where the script once stood. What is hashed keeps the place, so that a release says the same version as ever.
_INLINE = "<script>{plotly}</script>"


def content_hash(data: Mapping[str, Any]) -> str:
    """Hash of a report's logical content: the data and the page around it, not the library that draws."""
    return digest([json.dumps(data, sort_keys=True), _STYLE, _PAGE])


def drawing_script() -> tuple[str, bytes]:
    """Name and content of the script that draws. The name says the content."""
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs().encode()
    return f"plotly-{hashlib.blake2b(script, digest_size=8).hexdigest()}.min.js", script


def render(data: Mapping[str, Any], script: str, record: str = "") -> str:
    """The page as HTML, which loads `script` (an address relative to it). `record`: what earlier publications promised
    and kept; it is no part of the content, which the data alone decide.

    data: `as_of`, `assessment`, `span` and `account` (text; what amounts are counted in), `backtest` (strategy ->
    metric -> value), `curves` (strategy -> {ts, equity, drawdown}), `band` (of random entries: {ts, low, middle, high,
    own}, or nothing), `model` (overall metrics), `folds` (metrics a fold), `predictions` (rows), `horizon_bars`,
    `target`, `inputs` (component -> version).
    """
    overall = data["model"]
    return _PAGE.replace(_INLINE, f'<script src="{script}"></script>').format(
        as_of=html.escape(data["as_of"]),
        assessment=html.escape(data["assessment"]),
        record=f"<p>Forward record: {html.escape(record)}.</p>\n" if record else "",
        style=_STYLE,
        span=html.escape(data["span"]),
        account=html.escape(data["account"]),
        chance=chance_text(data["backtest"]["random_entry"]),
        figures=_figures(data["backtest"]),
        annual=f'<p class="soft">{FROM_A_YEAR}</p>\n' if is_short(data["backtest"]["model"]) else "",
        equity=_curve_chart(data["curves"], "equity", "Equity (1 = start)", data["band"]),
        drawdown=_curve_chart(data["curves"], "drawdown", "Drawdown"),
        calibration_text=(
            f"{overall['rows']:,} out-of-sample predictions with a known outcome, in groups of equal size: what was "
            f"predicted against what came. On the dotted line the model would be perfectly calibrated. Brier score "
            f"{overall['brier']:.4f}, of the base rate {overall['brier_base_rate']:.4f}."
        ),
        calibration=_calibration_chart(overall["calibration"], overall["base_rate"]),
        folds=_fold_table(data["folds"]),
        prediction_text=_prediction_text(data),
        predictions=_prediction_table(data["predictions"]),
        inputs=_table(
            ["Component", "Version of what was read"],
            [[name, f"<code>{version}</code>"] for name, version in data["inputs"].items()],
            text_columns=2,
        ),
    )


def _prediction_text(data: Mapping[str, Any]) -> str:
    count = len(data["predictions"])
    shown = (
        f"the {_SHOWN_PREDICTIONS} of {count} markets nearest to a trade, or beyond,"
        if count > _SHOWN_PREDICTIONS
        else (f"{count} market{'s' if count != 1 else ''}")
    )
    predicted = f"the price rises over {data['horizon_bars']} bars by more than a round trip costs there"
    if data["target"] == "resolution":
        predicted = "the market pays 1 in the end"
    entered = sum(row["action"] != "hold" for row in data["predictions"])
    return (
        f"The newest bar of {shown}, and what the decision rule says of each: {entered} to enter. Probability: that "
        f"{predicted}. Needed: the "
        "probability from which on the net edge exceeds the margin. Net edge: expected return of the better side, "
        "less what entry and exit cost; of a binary market in units of its payoff. Confidence: that it is above 0."
    )


def _figures(backtest: Mapping[str, Mapping[str, float | None]]) -> str:
    rows: list[tuple[str, str, Callable[[float], str]]] = [
        ("Total return", "total_return", return_text),
        ("Return a year", "annualised_return", return_text),
        ("Volatility a year", "annualised_volatility", return_text),
        ("Sharpe ratio (a year, cash at 0 %)", "sharpe", number_text),
        ("Sortino ratio (a year, cash at 0 %)", "sortino", number_text),
        ("Largest drawdown", "max_drawdown", return_text),
        ("Turnover (times equity, buys and sells)", "turnover", number_text),
        ("Winning trades", "hit_rate", return_text),
        ("Mean exposure (share of equity)", "exposure", return_text),
        ("Costs paid (multiples of the start)", "costs_paid", number_text),
        ("Closed trades", "trades", partial(number_text, places=0)),
    ]
    shown = [without_annual(backtest[name]) for name in CURVES]
    body = []
    for title, metric, form in rows:
        values = [one.get(metric) for one in shown]
        if any(value is not None for value in values):
            body.append([title, *("–" if value is None else form(value) for value in values)])
    return _table(["Figure", *CURVES.values()], body)


def _fold_table(folds: Sequence[Mapping[str, Any]]) -> str:
    head = ["Test span (UTC)", "Rows", "Trained on", "Base rate", "Brier", "of base rate", "Log loss", "of base rate"]
    body = []
    for fold in folds:
        span = f"{_minute(fold['test_start'])} to {_minute(fold['test_end'])}"
        if fold["rows"] == 0:
            body.append([span, "0", f"{fold['train_rows']:,}", *["–"] * 7])
            continue
        body.append(
            [
                span,
                f"{fold['rows']:,}",
                f"{fold['train_rows']:,}",
                percent_text(fold["base_rate"]),
                *(f"{fold[name]:.4f}" for name in ("brier", "brier_base_rate", "log_loss", "log_loss_base_rate")),
                "–" if fold["auc"] is None else f"{fold['auc']:.3f}",
                percent_text(fold["accuracy"]),
            ]
        )
    return _table([*head, "AUC", "Accuracy"], body)


def _prediction_table(predictions: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "Market",
        "Bar known at (UTC)",
        "Price",
        "Probability",
        "Needed",
        "Net edge",
        "Confidence",
        "Action",
        "Weight",
    ]
    ranked = sorted(predictions, key=lambda row: (row["action"] == "hold", -row["net_edge"], row["market_id"]))
    body = [
        [
            html.escape(row["name"]),
            _minute(row["ts"]),
            html.escape(price_text(row["price"], row["tick_size"], row["quote_currency"])),
            percent_text(row["probability"]),
            "–" if row["threshold"] is None else percent_text(row["threshold"]),
            percent_text(row["net_edge"], 3, sign=True),
            percent_text(row["confidence"]),
            f'<span title="{html.escape(row["reason"])}">{html.escape(row["action"])}</span>',
            percent_text(row["weight"], 0) if row["weight"] else "–",
        ]
        for row in ranked[:_SHOWN_PREDICTIONS]
    ]
    return _table(
        [*head, "Horizon ends (UTC)"],
        [[*cells, _minute(row["horizon_end_at"])] for cells, row in zip(body, ranked, strict=False)],
        wraps=True,
    )


def _minute(text: str) -> str:
    """An ISO instant without seconds, without its time where that is midnight."""
    day, _, clock = text.partition("T")
    return day if clock.startswith("00:00") else f"{day} {clock[:5]}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]], *, text_columns: int = 1, wraps: bool = False) -> str:
    """A table of cells that are HTML already; the first `text_columns` are text, the rest numbers."""

    def cell(tag: str, column: int, content: str) -> str:
        kind = ' class="text long"' if wraps else ' class="text"'
        return f"<{tag}{kind if column < text_columns else ''}>{content}</{tag}>"

    top = "".join(cell("th", column, title) for column, title in enumerate(head))
    rows = ("".join(cell("td", column, text) for column, text in enumerate(row)) for row in body)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"


def points_of(curve: pl.DataFrame) -> dict[str, list[Any]]:
    """A strategy's equity and drawdown at no more times than a chart has room for, the newest always among them."""
    import polars as pl

    step = max(1, math.ceil(curve.height / _CHART_POINTS))
    peak = pl.col("equity").cum_max()
    table = (
        curve.with_columns(drawdown=(peak - pl.col("equity")) / peak, number=pl.int_range(pl.len()))
        .filter((pl.col("number") % step == 0) | (pl.col("number") == pl.len() - 1))
        .with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    )
    return {name: table.get_column(name).to_list() for name in ("ts", "equity", "drawdown")}


def _curve_chart(
    curves: Mapping[str, Mapping[str, Sequence[Any]]],
    column: str,
    title: str,
    band: Mapping[str, Sequence[Any]] | None = None,
) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    values: list[float] = []
    if band:
        _add_band(figure, band)
        values += [*band["low"], *band["high"]]
    for name, (colour, dash) in _LINES.items():
        curve = curves[name]
        line = {"color": colour, "dash": dash, "width": 2 if name == "model" else 1.5}
        shown = [
            float(f"{value:.7g}") for value in curve[column]
        ]  # no pixel shows more, and the page has half the size
        figure.add_scatter(x=list(curve["ts"]), y=shown, name=CURVES[name], mode="lines", line=line)
        values += curve[column]
    axis: dict[str, Any] = {"title": {"text": title}}
    if column == "drawdown":
        axis |= {"tickformat": ".0%", "range": [max(0.01, max(values, default=0.0)) * 1.08, 0]}
    elif values and min(values) > 0 and max(values) / min(values) >= _LOG_SCALE_FROM:
        axis |= {"type": "log", "title": {"text": f"{title}, logarithmic"}, "dtick": 1 if max(values) > 100 else "D2"}
    figure.update_layout(yaxis=axis, height=380 if column == "equity" else 260, hovermode="x unified")
    return _chart(figure, f"chart-{column}")


def _add_band(figure: Any, band: Mapping[str, Sequence[Any]]) -> None:
    """The band of random entries, and what is to be compared with it."""
    edge = {"color": "rgba(138,143,152,0)", "width": 0}
    grey = {"x": list(band["ts"]), "mode": "lines"}
    low, high, own = ([float(f"{value:.7g}") for value in band[name]] for name in ("low", "high", "own"))
    figure.add_scatter(y=high, line=edge, showlegend=False, hoverinfo="skip", **grey)
    fill = {"fill": "tonexty", "fillcolor": "rgba(138,143,152,0.25)"}
    figure.add_scatter(y=low, line=edge, name="95 % of random entries", hoverinfo="skip", **fill, **grey)
    line = {"color": "#2f86d0", "dash": "dot", "width": 1}
    figure.add_scatter(y=own, name="Model's closed trades", line=line, **grey)


def _calibration_chart(bins: Sequence[Mapping[str, float]], base_rate: float) -> str:
    import plotly.graph_objects as go

    predicted, observed = [one["predicted"] for one in bins], [one["observed"] for one in bins]
    rows = [one["rows"] for one in bins]
    low, high = max(0.0, min(predicted + observed) - 0.05), min(1.0, max(predicted + observed) + 0.05)
    figure = go.Figure()
    line = {"color": "#8a8f98", "dash": "dot", "width": 1.5}
    figure.add_scatter(x=[low, high], y=[low, high], name="Perfect", mode="lines", line=line, hoverinfo="skip")
    line = {"color": "#d9820f", "dash": "dash", "width": 1.5}
    figure.add_scatter(x=[low, high], y=[base_rate, base_rate], name="Base rate", mode="lines", line=line)
    figure.add_scatter(
        x=predicted,
        y=observed,
        name="Model",
        mode="lines+markers",
        line={"color": "#2f86d0", "width": 2},
        marker={"size": 8},
        customdata=[[percent_text(x), percent_text(y), n] for x, y, n in zip(predicted, observed, rows, strict=True)],
        hovertemplate="predicted %{customdata[0]}, came %{customdata[1]} of %{customdata[2]:,} rows<extra></extra>",
    )
    axis = {"tickformat": ".0%", "range": [low, high]}
    figure.update_layout(
        xaxis={"title": {"text": "Predicted probability"}, **axis},
        yaxis={"title": {"text": "Share that came true"}, **axis},
        height=420,
    )
    return _chart(figure, "chart-calibration")


def _chart(figure: Any, div_id: str) -> str:
    import plotly.io as pio

    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 70, "r": 16, "t": 34, "b": 48},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        font={"family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": "#1b1f24"}},
    )
    config = {"displayModeBar": False, "responsive": True}
    fragment: str = pio.to_html(figure, full_html=False, include_plotlyjs=False, div_id=div_id, config=config)
    return fragment
