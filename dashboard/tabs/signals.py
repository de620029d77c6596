"""Signals: what the current release decided, the bars they rest on, and how earlier ones turned out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from agent.core.answers import Ref
from agent.core.figures import count_text
from dashboard import address, charts, data, look, market_data, parts
from dashboard.data import Record, Session
from dashboard.look import Column
from pipelines.data.quoting import price_text
from pipelines.figures import percent_text

TITLE, ICON, ORDER = "Signals", ":material/insights:", 40
_PAGE = 20
_BARS_BEFORE = 120  # bars drawn under a prediction
_LEAST_FOR_CALIBRATION = 30


def show(desk: Session) -> None:
    """The page."""
    release = data.current_release(desk)
    if release is None:
        parts.nothing_yet("There are no predictions yet.")
        return
    names = market_data.names(desk)
    with st.expander("Decisions of an earlier release", expanded=address.asked("release") is not None):
        release = parts.choose_release(data.recent_releases(desk), "Release", "release", "signal_release", release)
    parts.assessment(desk, release)
    rows = data.decisions(desk, release)
    if rows:
        _decisions(desk, rows, names)
    else:
        st.info("This release predicts no market.")
    st.subheader("How earlier ones turned out")
    _outcomes(desk, data.settled_predictions(desk), names)


def _decisions(desk: Session, rows: Sequence[Record], names: Mapping[str, str]) -> None:
    latest = {row["market_id"]: row for row in rows}
    with st.container(horizontal=True, vertical_alignment="top"):
        text = st.text_input("Market contains", key="signal_text", width=240)
        least = st.slider("Confidence at least", 0.0, 1.0, 0.0, 0.05, key="signal_confidence", width=220)
        side = st.segmented_control(
            "Decision", ["all", "to enter", "hold"], default="all", required=True, key="signal_edge"
        )
        by = st.selectbox("Order by", ["net edge", "confidence", "probability", "ts"], key="signal_order", width=150)
    chosen = [
        row
        for row in latest.values()
        if text.lower() in f"{row['market_id']} {names.get(row['market_id'], '')}".lower()
        and row["confidence"] >= least
        and (side == "all" or (row["action"] in ("buy", "sell")) == (side == "to enter"))
    ]
    chosen.sort(key=_net_edge if by == "net edge" else lambda row: row[by], reverse=True)
    first, quoted = chosen[0] if chosen else None, market_data.quoted(desk)
    st.caption(
        f"{len(chosen):,} of {count_text(len(latest), 'market')}"
        ". Probability: that the price rises over the horizon by more than a round trip costs. Needed: the probability "
        "from which on one enters. Net edge: expected return of the better side, less what entry and exit cost."
    )
    if first is None:
        st.info("No prediction is like that. Take a filter away.")
        return
    pages = -(-len(chosen) // _PAGE)
    page = st.pagination(pages, key="signal_page") if pages > 1 else 1
    look.table(
        [
            Column("Market", "long"),
            Column("Made at", "short less"),
            Column("Price", "num less"),
            Column("Probability", "num"),
            Column("Needed", "num less"),
            Column("Net edge", "num"),
            Column("Decision", "short"),
            Column("Confidence", "num less"),
            Column("Horizon", "short less"),
        ],
        [_row(row, names, quoted) for row in chosen[(page - 1) * _PAGE : page * _PAGE]],
        label="signals",
    )
    market = st.selectbox(
        "The bars it rests on",
        [row["market_id"] for row in chosen],
        format_func=lambda market_id: names.get(market_id, market_id),
        key="signal_market",
    )
    row = latest[market]
    st.caption(row["reason"] or "")
    interval = (row["horizon_end_at"] - row["ts"]) / row["horizon_bars"]
    bars = market_data.candles(desk, market, row["ts"] - _BARS_BEFORE * interval)
    if not bars.is_empty():
        mine = [row for row in data.predictions_of(desk, market) if row["ts"] >= bars.item(0, "ts")]
        charts.put(charts.prices(bars, mine, None), f"signal_{market}", height=380, alt=f"Newest bars of {market}")


def _linked(row: Record, names: Mapping[str, str]) -> look.Html:
    """A row's market, which leads to its page."""
    return look.link(Ref("market", row["market_id"], names.get(row["market_id"], row["market_id"])))


def _net_edge(row: Record) -> float:
    """Of the better side; of predictions from before it was recorded the edge of buying."""
    edge: float = row["edge"] if row["net_edge"] is None else row["net_edge"]
    return edge


def _row(row: Record, names: Mapping[str, str], quoted: Mapping[str, market_data.Quoted]) -> tuple[object, ...]:
    return (
        _linked(row, names),
        look.when(row["ts"]),
        price_text(row["price"], *quoted.get(row["market_id"], ())),
        percent_text(row["probability"]),
        "–" if row["threshold"] is None else percent_text(row["threshold"]),
        percent_text(_net_edge(row), 2, sign=True),
        row["action"] or "–",
        percent_text(row["confidence"]),
        look.Html(f"{row['horizon_bars']} bars, to {look.when(row['horizon_end_at'])}"),
    )


def _outcomes(desk: Session, settled: Sequence[Record], names: Mapping[str, str]) -> None:
    if not settled:
        st.info(
            "None is settled yet. A prediction gets its outcome when a later run brings the bars of its horizon; "
            "historical data that does not grow never does. The Diagnostics tab scores the past out of sample."
        )
        return
    live = data.live_score(desk)
    taken = [
        row["realized_return"] if row["action"] == "buy" else -row["realized_return"]
        for row in settled
        if row["action"] in ("buy", "sell")
    ]
    columns = st.columns(4)
    columns[0].metric("Settled", f"{live.settled:,}", border=True, height="stretch")
    rate = "–" if live.rate is None else percent_text(live.rate)
    columns[1].metric("Went up beyond cost", rate, border=True, height="stretch")
    columns[2].metric(
        "Brier score",
        look.number(live.brier, ".4f"),
        delta=f"always saying that rate: {look.number(live.base_brier, '.4f')}",
        delta_color="off",
        delta_arrow="off",
        help="0 is perfect. Lower than always saying how often it came true: the forecasts knew something.",
        border=True,
        height="stretch",
    )
    mean = percent_text(sum(taken) / len(taken), 2, sign=True) if taken else "–"
    columns[3].metric("Mean return of what was entered", mean, help="before costs", border=True, height="stretch")
    if len(settled) >= _LEAST_FOR_CALIBRATION:
        import numpy as np

        from pipelines.modelling.metrics import calibration_bins

        bins = calibration_bins(
            np.array([row["probability"] for row in settled]), np.array([float(row["outcome"]) for row in settled])
        )
        charts.put(
            charts.calibration(bins, live.rate or 0.0),
            "live_calibration",
            height=320,
            alt="Calibration of live predictions",
        )
    look.table(
        [
            Column("Market", "long"),
            Column("Made at", "short"),
            Column("Probability", "num"),
            Column("Net edge", "num"),
            Column("Return", "num"),
            Column("Outcome", "short"),
        ],
        [
            (
                _linked(row, names),
                look.when(row["ts"]),
                percent_text(row["probability"]),
                percent_text(_net_edge(row), 2, sign=True),
                percent_text(row["realized_return"], 2, sign=True),
                "up beyond cost" if row["outcome"] else "not",
            )
            for row in settled[:_PAGE]
        ],
        label="outcomes",
    )
