"""Diagnostics: features and model. Drift, importance, calibration, folds with their intervals, earlier models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from agent.core.figures import count_text
from dashboard import charts, data, look, model_data, parts
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from dashboard.model_data import Drift
from pipelines.figures import number_text

TITLE, ICON, ORDER = "Diagnostics", ":material/troubleshoot:", 60
_FEATURES_SHOWN = 15
_MODELS_SHOWN = 20


def show(desk: Session) -> None:
    """The page."""
    card, metrics = model_data.card(desk), model_data.metrics(desk)
    if card is None or metrics is None:
        parts.nothing_yet("There is no model yet.")
        return
    _figures(card, metrics["overall"])
    left, right = st.columns(2)
    with left:
        st.subheader("Calibration", help="Out-of-sample predictions in groups of equal size, with 95 % intervals.")
        overall = metrics["overall"]
        alt = "Predicted probability against what came"
        charts.put(charts.calibration(overall["calibration"], overall["base_rate"]), "calibration", height=340, alt=alt)
    with right:
        st.subheader(
            "Folds",
            help="How much better than always saying the base rate each walk-forward fold was. Above zero is better; "
            "the 95 % interval is over 20 stretches of time, whose rows share their luck.",
        )
        charts.put(charts.fold_gains(model_data.folds(desk)), "folds", height=340, alt="Brier score gained by fold")
    st.subheader("Features")
    st.fragment(guarded(_features))(desk)
    st.subheader("Models so far")
    _models(desk)


def _figures(card: dict[str, Any], overall: dict[str, Any]) -> None:
    gain = overall["brier_base_rate"] - overall["brier"]
    columns = st.columns(4)
    columns[0].metric(
        "Brier score",
        f"{overall['brier']:.4f}",
        delta=f"{number_text(gain, 4, sign=True)} against the base rate",
        delta_color="normal" if abs(gain) > 0 else "off",
        help="Out of sample. 0 is perfect, 0.25 is always one half.",
        border=True,
        height="stretch",
    )
    columns[1].metric(
        "AUC", look.number(overall["auc"], ".3f"), help="0.5 knows nothing", border=True, height="stretch"
    )
    columns[2].metric(
        "Out-of-sample rows",
        f"{overall['rows']:,}",
        delta=f"trained on {card['training_rows']:,}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
    )
    columns[3].metric(
        "Learner",
        card["kind"].replace("_", " "),
        delta=f"{count_text(len(card['features']), 'feature')}, {count_text(card['horizon_bars'], 'bar')} ahead",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
    )


def _features(desk: Session) -> None:
    drifts = model_data.drift(desk)
    left, right = st.columns(2)
    with left:
        st.markdown("**Drift** of the newest rows from the training rows")
        st.caption("Population stability index: below 0.1 is read as stable, above 0.25 as shifted.")
        top = drifts[:_FEATURES_SHOWN]
        figure = charts.ranked([one.feature for one in top], [one.psi for one in top], ".2f", {"shifted": 0.25})
        charts.put(figure, "drift", height=90 + 22 * len(top), alt="Drift of the features")
    with right:
        st.markdown("**Importance**: how much worse the Brier score gets without a feature")
        st.caption("Each feature shuffled over the newest rows whose outcome is known; training rows are among them.")
        _importance(desk)
    if drifts:
        st.fragment(guarded(_distribution))(drifts)  # by itself: another feature draws one chart


def _importance(desk: Session) -> None:
    with st.spinner("Shuffling features …"):
        found = model_data.importance(desk)[:_FEATURES_SHOWN]
    if not found:
        st.info("No newest row has a known outcome and the model's features.")
        return
    figure = charts.ranked([name for name, _ in found], [value for _, value in found], ".4f", {})
    charts.put(figure, "importance", height=90 + 22 * len(found), alt="Importance of the features")


def _distribution(drifts: Sequence[Drift]) -> None:
    by_name = {one.feature: one for one in drifts}
    chosen = st.selectbox("Distribution of", list(by_name), key="feature_chosen", width=320)
    alt = f"Distribution of {chosen}"
    charts.put(charts.distribution(by_name[chosen]), f"distribution_{chosen}", height=300, alt=alt)


def _models(desk: Session) -> None:
    rows = data.history(desk, "model", _MODELS_SHOWN)
    known = [(row, model_data.past_metrics(desk, row.id)) for row in rows]
    reported = [(row, overall) for row, overall in known if overall is not None]
    if len(reported) > 1:
        reported.reverse()
        series = {
            "Brier score": [overall["brier"] for _, overall in reported],
            "Base rate": [overall["brier_base_rate"] for _, overall in reported],
        }
        charts.put(
            charts.history([row.created_at for row, _ in reported], series),
            "models",
            height=260,
            alt="Models over time",
        )
    look.table(
        [
            Column("Made at", "short"),
            Column("Version"),
            Column("Brier", "num"),
            Column("Base rate", "num"),
            Column("AUC", "num"),
            Column("Rows", "num"),
            Column("Data to", "short"),
        ],
        [
            (
                look.when(row.created_at),
                look.short(row.version),
                *(
                    ("files removed", None, None, None)
                    if overall is None
                    else (
                        f"{overall['brier']:.4f}",
                        f"{overall['brier_base_rate']:.4f}",
                        look.number(overall["auc"], ".3f"),
                        f"{overall['rows']:,}",
                    )
                ),
                look.when(row.watermark),
            )
            for row, overall in known
        ],
        label="models",
    )
