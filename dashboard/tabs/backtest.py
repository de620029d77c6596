"""Backtest: equity and drawdown against the baselines, where the money came from, costs, and one release against
another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from dashboard import address, charts, data, look, market_data, model_data, parts
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from dashboard.palette import STRATEGIES
from dashboard.shapes import attribution, comparison
from pipelines.figures import number_text, return_text
from pipelines.modelling.annual import FROM_A_YEAR, is_short, without_annual
from pipelines.modelling.metrics import chance_text

TITLE, ICON, ORDER = "Backtest", ":material/trending_up:", 70
_FIRST = "release_first"  # the widget that is there as long as the page is open
_LOG_SCALE_FROM = 10.0  # a curve that grew or fell tenfold says more on a logarithmic axis


_count = partial(number_text, places=0)
_FIGURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "total_return": ("Total return", return_text),
    "annualised_return": ("Return a year", return_text),
    "annualised_volatility": ("Volatility a year", return_text),
    "sharpe": ("Sharpe ratio", number_text),
    "sortino": ("Sortino ratio", number_text),
    "max_drawdown": ("Largest drawdown", return_text),
    "turnover_per_year": ("Turnover a year, times equity", number_text),
    "hit_rate": ("Winning trades", return_text),
    "exposure": ("Mean exposure", return_text),
    "costs_paid": ("Costs paid, multiples of the start", partial(number_text, places=4)),
    "trades": ("Closed trades", _count),
}


def show(desk: Session) -> None:
    """The page."""
    curves = model_data.curves(desk)
    metrics = model_data.backtest_metrics(desk)
    if curves is None or metrics is None:
        parts.nothing_yet("There is no backtest yet.")
        return
    st.caption(
        "Simulated on past data: out-of-sample predictions traded with fees and slippage. Not a record of real "
        f"trading, and no promise. {market_data.account(desk)} Random entry repeats the model's trades at random "
        f"times in random markets, 200 times. {chance_text(metrics['random_entry'])}"
    )
    leads = _comparison_leads()
    if leads:
        _comparison(desk)
    left, right = st.columns([3, 2])
    with left:
        st.subheader("Equity")
        low, high = curves.get_column("equity").min(), curves.get_column("equity").max()
        wide = isinstance(low, float) and isinstance(high, float) and low > 0 and high / low > _LOG_SCALE_FROM
        figure = charts.lines(curves, "equity", ".2f", log=wide, predicted_to=model_data.predicted_to(desk))
        charts.put(figure, "equity", height=330, alt="Equity of each strategy")
        st.subheader("Drawdown")
        figure = charts.lines(curves, "drawdown", ".0%", fill=True)
        figure.update_yaxes(autorange="reversed")
        charts.put(figure, "drawdown", height=220, alt="Drawdown of each strategy")
    with right:
        st.subheader("Figures")
        _figures(metrics)
    attribution.show(desk, metrics["model"])
    st.subheader("Costs")
    st.caption("Fees and slippage paid so far, in multiples of the start.")
    charts.put(charts.lines(curves, "costs", ".4~f"), "costs", height=220, alt="Costs paid by each strategy")
    if not leads:
        _comparison(desk)


def _comparison_leads() -> bool:
    """Whether the comparison stands first: the address that somebody came with names one. It then stays where it is."""
    if _FIRST not in st.session_state:
        st.session_state["comparison_leads"] = any(address.asked(name) for name in ("release", "against"))
    return bool(st.session_state["comparison_leads"])


def _comparison(desk: Session) -> None:
    st.subheader("Against another release or try")
    st.fragment(guarded(_releases))(desk)


def _figures(metrics: Mapping[str, Mapping[str, float | None]]) -> None:
    shown = {key: without_annual(metrics[key]) for key in STRATEGIES}
    look.table(
        [Column(""), *(Column(name, "num") for name, _, _ in STRATEGIES.values())],
        [
            (title, *(_shown(shown[key].get(one), form) for key in STRATEGIES))
            for one, (title, form) in _FIGURES.items()
            if any(shown[key].get(one) is not None for key in STRATEGIES)
        ],
        label="figures",
    )
    if is_short(metrics["model"]):
        st.caption(FROM_A_YEAR)


def _shown(value: float | None, form: Callable[[float], str]) -> str | None:
    return None if value is None else form(value)


def _releases(desk: Session) -> None:
    releases = parts.release_texts(data.recent_releases(desk))
    tried = {one.name: f"{look.when_text(one.created_at)} · try {one.name}" for one in data.recent_tries(desk)}
    known = {**releases, **tried}
    if len(known) < 2:
        st.info("There is one release so far; a second one, or a try (agent try), can be compared with it.")
        return
    left, right = st.columns(2)
    with left:
        first = parts.choose(known, "This", "release", _FIRST, next(iter(known)))
    with right:
        other = next(name for name in known if name != first)  # of a try the newest release
        second = parts.choose(known, "Against", "against", "release_second", other)
    comparison.show(desk, second, first, is_try=bool(tried.keys() & {first, second}))
