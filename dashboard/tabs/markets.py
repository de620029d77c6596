"""Markets and ticks: the searchable universe, one market's chart and ticks, and what is wrong with the data."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from agent.core.figures import count_text, span_text
from dashboard import address, charts, data, look, market_data, parts
from dashboard.data import Session
from dashboard.guard import guarded
from dashboard.look import Column
from pipelines.data.quoting import rounded_price
from pipelines.data.tick_parts.account import FATES, sentence
from pipelines.modelling.labels import GAP_FACTOR

if TYPE_CHECKING:
    import polars as pl

TITLE, ICON, ORDER = "Markets and ticks", ":material/candlestick_chart:", 50
_SPANS = {"day": 1, "week": 7, "month": 31, "year": 366, "all": None}
_ROW_HIGH = 33  # pixels, as Streamlit draws them
_OPTIONAL = frozenset({"quote_currency", "volume", "end_at"})
_GAPS_LISTED, _KEYS_LISTED, _ROWS_LISTED = 8, 5, 200


def show(desk: Session) -> None:
    """The page."""
    universe = market_data.universe(desk)
    if universe is None:
        parts.nothing_yet("No markets are known yet.")
        return
    st.fragment(guarded(_universe))(desk, universe)
    st.subheader("Data quality")
    _quality(desk)


def _universe(desk: Session, universe: pl.DataFrame) -> None:
    with st.container(horizontal=True, vertical_alignment="top"):
        text = st.text_input("Find a market", key="market_text", placeholder="name or id", width=260)
        kinds = st.pills("Kind", universe.get_column("kind").unique().sort().to_list(), selection_mode="multi")
        statuses = st.pills("Status", universe.get_column("status").unique().sort().to_list(), selection_mode="multi")
    chosen = _filtered(universe, text, kinds, statuses)
    st.caption(f"{chosen.height:,} of {count_text(universe.height, 'market')}. Choose a row to see its chart.")
    if chosen.is_empty():
        st.info("No market is like that. Take a filter away.")
        return
    zone = look.zone().key
    st.dataframe(
        rows(chosen),
        height=min(260, _ROW_HIGH * (chosen.height + 1) + 4),
        hide_index=True,
        on_select=partial(_pick, chosen.get_column("market_id").to_list()),
        selection_mode="single-row",
        key="market_table",
        placeholder="–",
        column_config={
            "name": st.column_config.TextColumn("Market", width="medium"),
            "last_price": st.column_config.NumberColumn("Last price", format="%.12g"),
            "quote_currency": st.column_config.TextColumn("Currency", help="of its prices, where it is known"),
            "kind": "Kind",
            "status": "Status",
            "last_ts": st.column_config.DatetimeColumn("Last bar", timezone=zone, format="YYYY-MM-DD HH:mm", help=zone),
            "bars": st.column_config.NumberColumn("Bars", format="localized"),
            "volume": st.column_config.NumberColumn("Volume", format="compact"),
            "end_at": st.column_config.DatetimeColumn("Ends", timezone=zone, format="YYYY-MM-DD HH:mm", help=zone),
            "market_id": st.column_config.TextColumn("Id"),
        },
    )
    # By itself: another span draws the market again and not the table.
    st.fragment(guarded(_market))(desk, _asked_for(universe) or chosen.row(_most_bars(chosen), named=True))


def rows(chosen: pl.DataFrame) -> pl.DataFrame:
    """The table's columns, prices with the digits that other pages give them; without those that say nothing of any
    market."""
    import polars as pl

    prices = [
        None if price is None else rounded_price(price, tick)
        for price, tick in chosen.select("last_price", "tick_size").iter_rows()
    ]
    names = (
        "name",
        "last_price",
        "quote_currency",
        "last_ts",
        "kind",
        "status",
        "bars",
        "volume",
        "end_at",
        "market_id",
    )
    shown = chosen.with_columns(pl.Series("last_price", prices, pl.Float64)).select(names)
    return shown.select(one.name for one in shown if one.name not in _OPTIONAL or one.null_count() < one.len())


def _pick(market_ids: list[str]) -> None:
    """Let the address say which row was chosen, and nothing where the choice was taken back."""
    rows = st.session_state["market_table"]["selection"]["rows"]
    address.put("market", market_ids[rows[0]] if rows and rows[0] < len(market_ids) else None)


def _asked_for(universe: pl.DataFrame) -> dict[str, Any] | None:
    """The market that the address names; None where it names none that is known."""
    import polars as pl

    asked = address.asked("market")
    if asked is None:
        return None
    found = universe.filter(pl.col("market_id") == asked)
    if found.is_empty():
        st.warning(f"The market {look.literal(asked[:300])} is not listed any more.", icon=":material/link_off:")
    return None if found.is_empty() else found.row(0, named=True)


def _filtered(universe: pl.DataFrame, text: str, kinds: list[str], statuses: list[str]) -> pl.DataFrame:
    import polars as pl

    if text:
        both = pl.concat_str(pl.col("name"), pl.lit(" "), pl.col("market_id")).str.to_lowercase()
        universe = universe.filter(both.str.contains(text.lower(), literal=True))
    if kinds:
        universe = universe.filter(pl.col("kind").is_in(kinds))
    return universe.filter(pl.col("status").is_in(statuses)) if statuses else universe


def _most_bars(chosen: pl.DataFrame) -> int:
    most = chosen.get_column("bars").fill_null(0).arg_max()
    return most or 0


def _market(desk: Session, market: dict[str, Any]) -> None:
    market_id: str = market["market_id"]
    st.subheader(look.literal(market["name"]))
    facts = [market["kind"], market["status"], market_id]
    if market["quote_currency"] is not None:
        facts.append(f"prices in {market['quote_currency']}")
    if market["resolution"] is not None:
        facts.append(f"resolved at {market['resolution']:g}")
    look.line(" · ".join(facts), look.Html(f" · ends {look.when(market['end_at'])}" if market["end_at"] else ""))
    if not market["bars"]:
        st.info("This market has no bars: no tick of it was seen, or its newest bar is still being made.")
        return
    chosen = st.segmented_control("Span", list(_SPANS), default="all", required=True, key="market_span")
    last: datetime = market["last_ts"]
    days = _SPANS[chosen]
    start = None if days is None else last - timedelta(days=days)
    bars = market_data.candles(desk, market_id, start, None)
    if bars.is_empty():
        st.info("No bar lies in this span. Choose a longer one.")
        return
    first = bars.item(0, "ts")
    signals = [row for row in data.predictions_of(desk, market_id) if row["ts"] >= first]
    charts.put(
        charts.prices(bars, signals, market["resolution"]),
        f"market_{market_id}_{chosen}",
        height=440,
        alt=f"Price and volume of {market['name']}",
    )
    joined = bars.get_column("bars").max()
    if isinstance(joined, int) and joined > 1:
        st.caption(f"Each candle joins up to {joined} bars; a shorter span shows more detail.")
    left, right = st.columns(2)
    with left:
        _gaps(desk, market_id)
    with right, st.expander("Newest rows of its source"):
        ticks = market_data.newest_ticks(desk, market_id)
        st.caption("Trades and quotes, or bars, as the source gave them. Times are UTC.")
        st.dataframe(ticks, height=300, hide_index=True, key=f"ticks_{market_id}")


def _gaps(desk: Session, market_id: str) -> None:
    gaps = market_data.gaps(desk, market_id)
    if gaps is None:
        return
    bars, count = count_text(gaps.bars, "bar"), count_text(gaps.count, "gap")
    with st.expander(f"{bars}, usually {span_text(gaps.spacing_seconds)} apart, {count}"):
        st.caption(f"A gap is more than {GAP_FACTOR} times the usual spacing. No bar is made up for it.")
        look.table(
            [Column("From", "short"), Column("To", "short"), Column("Length", "num")],
            [
                (look.when(start), look.when(end), span_text((end - start).total_seconds()))
                for start, end in gaps.longest[:_GAPS_LISTED]
            ],
            label="gaps",
        )


def _quality(desk: Session) -> None:
    bad, late = market_data.quarantine(desk), market_data.rewrites(desk)
    columns = st.columns(3)
    columns[0].metric("Quarantined rows", f"{bad.height:,}", help="broke a rule and were left out", border=True)
    columns[1].metric(
        "Late or corrected", f"{len(late):,}", help="updates of ticks that changed older partitions", border=True
    )
    span = market_data.market_span(desk)
    columns[2].metric(
        "Span of bars", "–" if span is None else span_text((span[1] - span[0]).total_seconds()), border=True
    )
    if not bad.is_empty():
        with st.expander("Quarantined rows", expanded=True):
            look.table(
                [Column(name, "long" if name == "text" else "") for name in bad.columns],
                bad.head(_ROWS_LISTED).rows(),
                label="quarantine",
            )
    accounts = market_data.row_accounts(desk)
    if accounts:
        with st.expander(f"Rows of the sources: {sentence(accounts)}"):
            # What lost most comes first.
            accounts.sort(key=lambda one: (-one.lost_fraction, one.source, one.part))
            look.table(
                [Column("Part", "long"), *(Column(name.capitalize(), "num") for name in FATES)],
                [
                    (f"{one.source}:{one.part}", *(f"{getattr(one, name):,}" for name in FATES))
                    for one in accounts[:_ROWS_LISTED]
                ],
                label="rows of the sources",
            )
    if late:
        look.table(
            [Column("Late or corrected data came", "short"), Column("Partitions recomputed", "long")],
            [
                (look.when(one.at), ", ".join(one.keys[:_KEYS_LISTED]) + (" …" if len(one.keys) > _KEYS_LISTED else ""))
                for one in late
            ],
            label="late",
        )
