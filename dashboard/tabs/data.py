"""Data: a box for SQL queries over state and lake, read-only and closed in, with downloads."""

from __future__ import annotations

import io
from functools import partial

import streamlit as st

from agent.core.figures import count_text
from agent.store import browse
from dashboard import look, press, sqlbox
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from dashboard.sqlbox import ROWS_DOWNLOADED
from pipelines.data.csv_text import neutralised

TITLE, ICON, ORDER = "Data", ":material/database:", 80

_EXAMPLES = {
    "State of the components": "SELECT component, last_run_at, is_dirty, run_count, failure_count\n"
    "FROM orchestrator_state\nORDER BY component",
    "Slowest attempts": "SELECT run_id, component, status, seconds, rows, peak_memory_bytes / 1e6 AS peak_mb\n"
    "FROM attempts\nORDER BY seconds DESC\nLIMIT 20",
    "Bars of each market": "SELECT market_id, count(*) AS bars, min(ts) AS first, max(ts) AS last,\n"
    "       arg_max(close, ts) AS last_price\nFROM bars\nGROUP BY market_id\nORDER BY bars DESC",
    "Monthly volume": "SELECT date_trunc('month', ts) AS month, sum(volume) AS volume\n"
    "FROM bars\nGROUP BY month\nORDER BY month",
    "Largest edges": "SELECT p.market_id, m.question, m.symbol, p.ts, p.probability, p.edge\n"
    "FROM predictions p JOIN markets m USING (market_id)\nORDER BY p.net_edge DESC\nLIMIT 50",
    "Trades that lost most": "SELECT * FROM trades WHERE strategy = 'model' ORDER BY trade_return LIMIT 20",
}


def show(desk: Session) -> None:
    """The page."""
    st.fragment(guarded(_box))(desk)
    with st.expander("Tables"):
        _tables(desk)


def _box(desk: Session) -> None:
    sqlbox.get_ready()
    example = st.selectbox("Example", list(_EXAMPLES), key="sql_example", width=320)
    with st.form("sql", border=False):
        key = f"sql_text_{example}"
        st.text_area("SQL", _EXAMPLES[example], height=150, key=key)
        press.submit("Run query", partial(_ask, key), icon=":material/play_arrow:", place="sql", kind="primary")
    press.outcome("sql")
    if "sql_asked" not in st.session_state:
        st.caption("One SELECT, in DuckDB's dialect. Nothing can be written, and no file outside the lake read.")
        return
    _answer(desk, st.session_state["sql_asked"])


def _ask(key: str) -> None:
    st.session_state["sql_asked"] = st.session_state[key]


def _answer(desk: Session, query: str) -> None:
    answer = sqlbox.ask(desk, query)
    rows = count_text(answer.frame.height, "row")
    st.caption(f"{'the first ' if answer.is_cut else ''}{rows} in {answer.seconds:.2f} s. Times are UTC.")
    # As in the file, since the table's own menu saves what it shows as CSV.
    st.dataframe(neutralised(answer.frame), hide_index=True, key="sql_answer", placeholder="–")

    def as_csv() -> bytes:
        return neutralised(sqlbox.ask(desk, query, ROWS_DOWNLOADED).frame).write_csv().encode()

    def as_parquet() -> bytes:
        buffer = io.BytesIO()
        sqlbox.ask(desk, query, ROWS_DOWNLOADED).frame.write_parquet(buffer)
        return buffer.getvalue()

    with st.container(horizontal=True):
        st.download_button(
            "CSV", as_csv, "answer.csv", "text/csv", icon=":material/download:", on_click="ignore", key="csv"
        )
        st.download_button(
            "Parquet",
            as_parquet,
            "answer.parquet",
            "application/vnd.apache.parquet",
            icon=":material/download:",
            on_click="ignore",
            key="parquet",
        )
        st.caption(f"whole, up to {ROWS_DOWNLOADED:,} rows")


def _tables(desk: Session) -> None:
    lake = [
        (name, "lake", f"{sum(one.rows for one in partitions):,}", ", ".join(sorted(partitions[0].column_hashes)))
        for name, partitions in sqlbox.views(desk).items()
    ]
    state = [(name, "state", "", ", ".join(browse.columns_of(name))) for name in browse.table_names()]
    look.table(
        [Column("Table", "short"), Column("Of"), Column("Rows", "num"), Column("Columns", "long")],
        [*lake, *state],
        label="tables",
    )
