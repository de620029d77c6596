"""One release against another: why they differ, figures that changed first, both curves, decisions and trades."""

from __future__ import annotations

import streamlit as st

from agent.core.answers import Ref
from agent.core.morning_text import moved_lines
from agent.core.release_diff import change_text, figure_cells
from agent.execution.backtests import Pair
from agent.store.comparing import Comparison
from dashboard import charts, data, look, market_data
from dashboard.data import Session
from dashboard.look import Column

_MOVED, _TRADES = 12, 10


def show(desk: Session, before: str, after: str) -> None:
    """Release `after` against release `before`."""
    found = data.comparison_of(desk, before, after)
    look.line(look.Html(f"<b>{look.text((found.headline,))}.</b>"))
    with st.expander("Component by component"):
        for one in found.changes:
            look.line(change_text(one))
    left, right = st.columns(2)
    with left:
        _figures(found)
    pair = data.backtests_of(desk, found.backtests)
    with right:
        if pair is None:
            st.info("Their backtests are no longer both on disk.")
        else:
            names = (found.before.name, f"{found.after.name} (this)")
            curves = {
                name: (one.get_column("ts").to_list(), one.get_column("equity").to_list())
                for name, one in zip(names, (pair.before, pair.after), strict=True)
            }
            charts.put(charts.overlaid(curves), "overlaid", height=300, alt="Equity of both backtests")
        for line in moved_lines(found.since, _MOVED):
            look.line(look.text(line))
    if pair is not None:
        _trades(desk, pair)


def _figures(found: Comparison) -> None:
    look.table(
        [
            Column(""),
            Column(found.before.name, "num"),
            Column(f"{found.after.name} (this)", "num"),
            Column("Difference", "num"),
        ],
        [figure_cells(one) for one in found.figures],
        label="releases",
    )


def _trades(desk: Session, pair: Pair) -> None:
    names = market_data.names(desk)
    sides = {"before only": pair.trades.before, "this only": pair.trades.after}
    counted = "; ".join(
        f"{rows.height:,} {name}" + (f" ({rows.get_column('pnl').sum():+.4f} of the start)" if rows.height else "")
        for name, rows in sides.items()
    )
    look.line(f"Trades: {pair.trades.both:,} in both; {counted}")
    rows = [(name, row) for name, each in sides.items() for row in each.head(_TRADES).iter_rows(named=True)]
    if not rows:
        return
    look.table(
        [
            Column("In", "short"),
            Column("Market", "long"),
            Column("Side"),
            Column("Entry", "short"),
            Column("Exit", "short"),
            Column("Why it ended", "short"),
            Column("P&L", "num"),
        ],
        [
            (
                name,
                look.link(Ref("market", row["market_id"], names.get(row["market_id"], row["market_id"]))),
                "long" if row["side"] > 0 else "short",
                look.when(row["entry_at"]),
                look.when(row["exit_at"]),
                row["reason"].replace("_", " "),
                f"{row['pnl']:+.5f}",
            )
            for name, row in rows
        ],
        label="trades of one alone",
    )
