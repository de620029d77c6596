"""Where the backtest's money came from: by market, day, probability or reason, and its trades on the candles; its worst
drawdowns, rolling Sharpe ratio, months or days."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from agent.core.answers import Ref
from agent.core.figures import count_text, pnl_text, span_text
from agent.execution import backtests
from agent.execution.backtests import Backtest
from dashboard import address, charts, look, market_data, model_data, parts
from dashboard.data import Session
from dashboard.look import Column, Html
from dashboard.palette import GREEN, RED
from pipelines.evaluation import attribution
from pipelines.evaluation.attribution import WAYS, By
from pipelines.figures import percent_text

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

_GROUPS, _TRADES, _DRAWDOWNS = 40, 200, 5


def show(desk: Session, figures: Mapping[str, float | None]) -> None:
    """The sections. `figures`: the model's, as metrics.json has them."""
    made = model_data.backtest(desk)
    st.subheader("Where the money came from")
    if made is None:
        parts.nothing_yet("The files of this backtest are no longer on disk.")
        return
    if made.trades.is_empty():
        st.info("The model made no trade: at no bar did the net edge exceed [inference] margin.")
    else:
        _groups(desk, made, figures.get("total_return"))
    _drawdowns(made.curve)
    _periods(made.curve)


def _groups(desk: Session, made: Backtest, total: float | None) -> None:
    address.follow("by", "attributed_by", {one: one for one in WAYS}, "market_id")
    by = attribution.way(
        st.segmented_control(
            "Summed by",
            list(WAYS),
            format_func=lambda one: WAYS[one],
            key="attributed_by",
            required=True,
            on_change=_summed_by,
        )
    )
    closed = float(made.trades.get_column("pnl").sum())
    rest = "" if total is None else f"; still open {pnl_text(total - closed)}; together {pnl_text(total)}"
    look.line(f"{count_text(made.trades.height, 'closed trade')} {pnl_text(closed)}{rest}. Of the start, after costs.")
    found, left_out = attribution.extremes(attribution.attributed(made.trades, by), _GROUPS)
    names = market_data.names(desk)
    chosen = address.asked("key")
    largest = max((abs(one) for one in found.get_column("pnl").to_list()), default=0.0)
    look.table(
        [
            Column(WAYS[by].capitalize(), "long"),
            Column("Trades", "num"),
            Column("Won", "num"),
            Column("P&L", "num"),
            Column(""),
        ],
        [
            (
                _group(by, key, names, is_chosen=key == chosen),
                f"{count:,}",
                percent_text(won / count, 0),
                pnl_text(pnl),
                _bar(pnl, largest),
            )
            for key, count, won, pnl in found.iter_rows()
        ],
        label="attribution",
    )
    if left_out:
        st.caption(f"{left_out:,} between them are not listed.")
    rows = made.trades if chosen is None else made.trades.filter(attribution.key_of(by) == chosen)
    if chosen is not None and rows.is_empty():
        st.warning(f"No trade has {look.literal(f'{WAYS[by]} {chosen[:200]}')} any more.", icon=":material/link_off:")
        return
    _trades(desk, rows, "" if chosen is None else f": {WAYS[by]} {names.get(chosen, chosen).replace('_', ' ')}")


def _summed_by() -> None:
    """Another way of summing has other groups: what was chosen of the former one is none of them."""
    address.keep("by", "attributed_by")
    address.put("key", None)
    address.put("market", None)


def _group(by: By, key: str, names: Mapping[str, str], *, is_chosen: bool) -> Html:
    text = html.escape(names.get(key, key) if by == "market_id" else key.replace("_", " "))
    to = address.of_backtest(by=by, key=None if is_chosen else key, market=None)
    mark = ' aria-current="true"' if is_chosen else ""
    return Html(
        f'<a href="{html.escape(to)}" target="_self"{mark}>{f"<b>{text}</b> (show all)" if is_chosen else text}</a>'
    )


def _bar(pnl: float, largest: float) -> Html:
    colour, side = (GREEN, "left") if pnl >= 0 else (RED, "right")
    width = 50 * abs(pnl) / largest if largest else 0
    return Html(f'<div class="tm-pnl"><i style="{side}:50%;width:{width:.0f}%;background:{colour}"></i></div>')


def _trades(desk: Session, rows: pl.DataFrame, what: str) -> None:
    st.subheader(look.literal(f"Trades{what}"))
    names, zone = market_data.names(desk), look.zone().key
    asked = address.asked("market")
    held = set(rows.get_column("market_id").to_list())
    # Of several markets, that of the trade that moved most.
    market_id = asked if asked is not None and asked in held else attribution.most_moving(rows)
    _candles(desk, market_id, names.get(market_id, market_id), rows)
    look.table(
        [
            Column("Market", "long"),
            Column("Side"),
            Column("Entry", "short"),
            Column("Exit", "short"),
            Column("Reason", "short"),
            Column("Probability", "num"),
            Column("Return", "num"),
            Column("P&L", "num"),
        ],
        [
            (
                _on_chart(row["market_id"], names, is_chosen=row["market_id"] == market_id),
                "long" if row["side"] > 0 else "short",
                look.when(row["entry_at"]),
                look.when(row["exit_at"]),
                row["reason"].replace("_", " "),
                None if row["probability"] is None else percent_text(row["probability"]),
                percent_text(row["trade_return"], 2, sign=True),
                pnl_text(row["pnl"]),
            )
            for row in rows.head(_TRADES).iter_rows(named=True)
        ],
        label="trades",
    )
    left_out = rows.height - _TRADES
    st.caption(
        f"Times are {zone}."
        + (f" The newest {_TRADES:,}; {left_out:,} earlier ones are not listed." if left_out > 0 else "")
    )


def _on_chart(market_id: str, names: Mapping[str, str], *, is_chosen: bool) -> Html:
    if is_chosen:
        return look.link(Ref("market", market_id, names.get(market_id, market_id)))
    to = html.escape(address.of_backtest(market=market_id))
    return Html(f'<a href="{to}" target="_self">{html.escape(names.get(market_id, market_id))}</a>')


def _candles(desk: Session, market_id: str, name: str, rows: pl.DataFrame) -> None:
    """The market's bars around its trades among `rows`, with their entries and exits."""
    import polars as pl

    mine = rows.filter(pl.col("market_id") == market_id).head(_TRADES)
    sources = model_data.backtest_sources(desk)
    if sources is None or sources.features is None:
        return
    bars = backtests.candles(desk.workspace.lake, sources.features, market_id, *attribution.around(mine))
    if bars.is_empty():
        st.caption(f"The bars of {look.literal(name)} are no longer on disk.")
        return
    kinds = market_data.kinds(desk)
    figure = charts.prices(bars, [], None)
    _mark(figure, attribution.marks(mine, is_binary=kinds.get(market_id) == "binary"))
    trades = count_text(mine.height, "trade")
    st.caption(look.literal(f"{name}: entries and exits of {trades}"))
    charts.put(figure, "traded", height=360, alt=f"Price of {name} with entries and exits of {trades}")


def _mark(figure: go.Figure, found: pl.DataFrame) -> None:
    import polars as pl

    for what, side, symbol, colour, words in (
        ("entry", 1, "triangle-up", GREEN, "Entry, long"),
        ("entry", -1, "triangle-down", RED, "Entry, short"),
        ("exit", 1, "x", GREEN, "Exit, long"),
        ("exit", -1, "x", RED, "Exit, short"),
    ):
        mine = found.filter((pl.col("what") == what) & (pl.col("side") == side))
        if mine.is_empty():
            continue
        times = mine.get_column("at").to_list()
        figure.add_scatter(
            x=charts.local(times),
            y=mine.get_column("price").to_list(),
            mode="markers",
            marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1, "color": "white"}},
            customdata=[
                [text, reason.replace("_", " "), pnl_text(pnl)]
                for text, reason, pnl in zip(
                    charts.utc_text(times), mine.get_column("reason"), mine.get_column("pnl"), strict=True
                )
            ],
            hovertemplate="%{y:,.6g}<br>%{customdata[0]}<br>left by %{customdata[1]}, P&L %{customdata[2]}"
            f"<extra>{words}</extra>",
            name=words,
            row=1,
            col=1,
        )


def _drawdowns(curve: pl.DataFrame) -> None:
    st.subheader("Worst drawdowns")
    found = attribution.worst_drawdowns(curve, _DRAWDOWNS)
    if not found:
        st.caption("Equity never fell.")
        return
    look.table(
        [
            Column("Depth", "short"),
            Column("Peak", "short"),
            Column("Lowest", "short"),
            Column("Recovered", "short"),
            Column("Took", "short"),
        ],
        [
            (
                percent_text(one.depth, 2),
                look.when(one.peak_at),
                look.when(one.lowest_at),
                "not yet" if one.recovered_at is None else look.when(one.recovered_at),
                None if one.recovered_at is None else span_text((one.recovered_at - one.peak_at).total_seconds()),
            )
            for one in found
        ],
        label="drawdowns",
    )


def _periods(curve: pl.DataFrame) -> None:
    window = attribution.sharpe_window(curve)
    st.subheader("Rolling Sharpe ratio", help=f"Of daily returns (UTC) over {window} days, by the year.")
    found = attribution.rolling_sharpe(curve, window)
    if found.is_empty():
        st.caption(f"It needs more than {window} days with a change of equity.")
    else:
        times, values = found.get_column("ts").to_list(), found.get_column("sharpe").to_list()
        figure = charts.overlaid({f"over {window} days": (times, values)})
        charts.put(figure, "sharpe", height=220, alt="Rolling Sharpe ratio")
    name, returns = attribution.periods(curve)
    st.subheader(f"{name.capitalize()}s", help=f"The model's return of each {name} (UTC).")
    if name == "day":
        charts.put(charts.days(returns), "periods", height=220, alt="Returns by day")
        return
    years = returns.get_column("ts").dt.year().n_unique()
    charts.put(charts.months(returns), "periods", height=90 + 28 * years, alt="Returns by month")
