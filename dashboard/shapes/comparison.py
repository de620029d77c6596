"""One release against another: why they differ, figures that changed first, both curves, decisions and trades."""

from __future__ import annotations

import streamlit as st

from agent.core.answers import Ref
from agent.core.figures import pnl_text
from agent.core.morning_text import moved_lines
from agent.core.release_diff import change_text, figure_cells, pair_cells
from agent.execution.backtests import Pair
from agent.execution.tries.comparing import Against
from agent.execution.tries.cost_text import cost_lines
from agent.store.comparing import Comparison
from dashboard import charts, data, look, market_data
from dashboard.data import Session
from dashboard.look import Column

_MOVED, _TRADES = 12, 10


def show(desk: Session, before: str, after: str, *, is_try: bool) -> None:
    """Release `after` against release `before`; is_try: one of them, or both, is a try."""
    against = data.against_of(desk, before, after) if is_try else None
    found = data.comparison_of(desk, before, after) if against is None else against.comparison
    look.line(look.Html(f"<b>{look.text((found.headline,))}.</b>"))
    for name, cost in {} if against is None else against.costs.items():
        look.line(f"What try {name} took. {' '.join(cost_lines(cost))}")
    with st.expander("Component by component"):
        for one in found.changes:
            look.line(change_text(one))
    left, right = st.columns(2)
    with left:
        _figures(found)
        if against is not None and against.pairs:
            _pairs(against)
    pair = data.backtests_of(desk, found.backtests)
    with right:
        if pair is None:
            st.info("Their backtests are no longer both on disk.")
        else:
            names = (found.before.name, found.after.name)
            curves = {
                name: (one.get_column("ts").to_list(), one.get_column("equity").to_list())
                for name, one in zip(names, (pair.before, pair.after), strict=True)
            }
            charts.put(charts.overlaid(curves), "overlaid", height=300, alt="Equity of both backtests")
        for line in moved_lines(found.since, _MOVED):
            look.line(look.text(line))
    if pair is not None:
        _trades(desk, found, pair)


def _figures(found: Comparison) -> None:
    look.table(
        [
            Column(""),
            Column(found.before.name, "num"),
            Column(found.after.name, "num"),
            Column("Difference", "num"),
        ],
        [figure_cells(one) for one in found.figures],
        label="releases",
    )


def _pairs(against: Against) -> None:
    look.table(
        [Column("On the same rows"), Column("Difference", "num"), Column("95 % interval", "num")],
        [pair_cells(name, one.value, one.low, one.high) for name, one in against.pairs.items()],
        label="on the same rows",
    )


def _trades(desk: Session, found: Comparison, pair: Pair) -> None:
    names = market_data.names(desk)
    sides = {f"only {found.before.name}": pair.trades.before, f"only {found.after.name}": pair.trades.after}
    counted = "; ".join(
        f"{rows.height:,} {name}"
        + (f" ({pnl_text(float(rows.get_column('pnl').sum()))} of the start)" if rows.height else "")
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
                pnl_text(row["pnl"]),
            )
            for name, row in rows
        ],
        label="trades of one alone",
    )
