"""Markets, bars and ticks out of the lake, cut down to what a screen can show. Cached by the version they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from agent.execution import backtests
from agent.execution.row_account import accounts_in
from dashboard import data
from dashboard.data import Session
from pipelines.data.quoting import account_text
from pipelines.data.spans import span_key, span_of
from pipelines.data.tick_parts.account import Account
from pipelines.lake import Lake
from pipelines.modelling.labels import GAP_FACTOR, usual_spacing
from pipelines.snapshot import Partition, Snapshot, diff
from pipelines.source import completed_markets

if TYPE_CHECKING:
    import polars as pl

TICKS_SHOWN = 200
_BARS, _QUARANTINE = "bars/", "quarantine"
_GAPS_SHOWN = 20
_SNAPSHOTS_COMPARED = 12


@dataclass(frozen=True)
class Rewrite:
    """Partitions of ticks that a snapshot changed though newer ones existed: late or corrected data."""

    at: datetime
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Gaps:
    """Where a market's bars are missing: where one is known more than GAP_FACTOR times the usual spacing after the one
    before. `longest`: end of the bar before and start of the bar after, longest first."""

    bars: int
    count: int
    spacing_seconds: int
    longest: tuple[tuple[datetime, datetime], ...]


class Quoted(NamedTuple):
    """The step of a market's prices and what they are in; None where it is not known."""

    tick_size: float | None
    currency: str | None


def markets(desk: Session) -> pl.DataFrame | None:
    """The universe, MARKET_COLUMNS and `name` (question or symbol); None before it is known."""
    found = data.output(desk, "markets")
    return None if found is None else _markets(found.version, desk.workspace.lake, found)


def universe(desk: Session) -> pl.DataFrame | None:
    """The universe with `bars`, `last_ts`, `last_price` of each market, null where it has no bars."""
    import polars as pl

    known, features = markets(desk), data.output(desk, "features")
    if known is None:
        return None
    if features is None or not any(one.rows for one in features.select(_BARS)):
        return known.with_columns(
            pl.lit(None, pl.Int64).alias("bars"),
            pl.lit(None, pl.Datetime("us", "UTC")).alias("last_ts"),
            pl.lit(None, pl.Float64).alias("last_price"),
        )
    counted = _last_bars(features.version, desk.workspace.lake, features)
    return known.join(counted, on="market_id", how="left", maintain_order="left")


def names(desk: Session) -> dict[str, str]:
    """Market id -> its question or symbol."""
    known = markets(desk)
    return {} if known is None else dict(known.select("market_id", "name").iter_rows())


def kinds(desk: Session) -> dict[str, str]:
    """Market id -> its kind: equity, spot, fx, binary."""
    known = markets(desk)
    return {} if known is None else dict(known.select("market_id", "kind").iter_rows())


def quoted(desk: Session) -> dict[str, Quoted]:
    """Market id -> the step of its prices and their currency."""
    known = markets(desk)
    if known is None:
        return {}
    rows = known.select("market_id", "tick_size", "quote_currency").iter_rows()
    return {market_id: Quoted(*facts) for market_id, *facts in rows}


def account(desk: Session) -> str:
    """What the backtest is counted in, by the markets that have bars."""
    known = universe(desk)
    traded = [] if known is None else known.drop_nulls("bars").get_column("quote_currency").to_list()
    return account_text(traded)


def candles(desk: Session, market_id: str, start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
    """A market's bars from `start` to `end` (None: all), joined to candles: see backtests.candles."""
    import polars as pl

    features = data.output(desk, "features")
    if features is None:
        return pl.DataFrame()
    return _candles(features.version, market_id, start, end, desk.workspace.lake, features)


def market_span(desk: Session) -> tuple[datetime, datetime] | None:
    """First and last time of any bar."""
    features = data.output(desk, "features")
    times = [] if features is None else [p for p in features.select(_BARS) if p.min_ts and p.max_ts]
    if not times:
        return None
    return min(p.min_ts for p in times if p.min_ts), max(p.max_ts for p in times if p.max_ts)


def gaps(desk: Session, market_id: str) -> Gaps | None:
    """Where bars of a market are missing; None where it has none at all."""
    features = data.output(desk, "features")
    return None if features is None else _gaps(features.version, market_id, desk.workspace.lake, features)


def newest_ticks(desk: Session, market_id: str) -> pl.DataFrame:
    """The last TICKS_SHOWN trades and quotes of a market, or bars of its source, newest first, from its newest
    partition."""
    import polars as pl

    ticks = data.output(desk, "ticks")
    if ticks is None:
        return pl.DataFrame()
    return _newest_ticks(ticks.version, market_id, desk.workspace.lake, ticks)


def quarantine(desk: Session) -> pl.DataFrame:
    """Rows that broke a rule and were left out: part, row, rule, text."""
    import polars as pl

    ticks = data.output(desk, "ticks")
    partition = None if ticks is None else ticks.by_key.get(_QUARANTINE)
    return pl.DataFrame() if partition is None else desk.workspace.lake.read_table(partition)


def row_accounts(desk: Session) -> list[Account]:
    """What became of the rows of each part of the sources."""
    ticks = data.output(desk, "ticks")
    return [] if ticks is None else accounts_in(desk.workspace.lake, ticks)


def rewrites(desk: Session) -> list[Rewrite]:
    """When older partitions of ticks were recomputed, over the newest snapshots, newest first."""
    rows = data.history(desk, "ticks", _SNAPSHOTS_COMPARED)
    found = []
    for newer, older in pairwise(rows):
        before, after = data.snapshot(desk, older.id), data.snapshot(desk, newer.id)
        newest = max((span_of(span_key(p.key))[0] for p in before.select() if p.key != _QUARANTINE), default=None)
        changed = (diff(before, after) & before.by_key.keys()) - {_QUARANTINE}
        late = tuple(sorted(key for key in changed if newest is not None and span_of(span_key(key))[1] <= newest))
        if late:
            found.append(Rewrite(newer.created_at, late))
    return found


@st.cache_resource(show_spinner=False, max_entries=2)
def _markets(version: str, _lake: Lake, _snapshot: Snapshot) -> pl.DataFrame:
    import polars as pl

    table = completed_markets(_lake.read_tables(_snapshot.select("markets")))  # one of an older release lacks some
    return table.with_columns(pl.coalesce("question", "symbol", "external_id").alias("name"))


@st.cache_resource(show_spinner=False, max_entries=2)
def _last_bars(version: str, _lake: Lake, _snapshot: Snapshot) -> pl.DataFrame:
    return last_bars(_lake, _snapshot.select(_BARS))


def last_bars(lake: Lake, partitions: Sequence[Partition]) -> pl.DataFrame:
    """Columns market_id, bars (how many), last_ts and last_price (close) of each market in `partitions`."""
    import polars as pl

    # One narrow column of the whole history, in pieces: memory does not grow with it.
    names = lake.scan_tables(partitions).select("market_id")
    counted = names.group_by("market_id").agg(pl.len().cast(pl.Int64).alias("bars")).collect(engine="streaming")
    last, missing = [], counted.select("market_id")
    timed = [(one.max_ts, number) for number, one in enumerate(partitions) if one.max_ts is not None]
    # A market's last bar is in the newest partition that has it: mostly in the newest of all, and no other is read.
    for _, number in sorted(timed, reverse=True):
        rows = lake.scan_tables([partitions[number]]).join(missing.lazy(), on="market_id", how="semi")
        close = pl.col("close").gather(pl.col("end").arg_max()).first()
        newest = pl.col("end").max().alias("last_ts"), close.alias("last_price")
        last.append(rows.group_by("market_id").agg(*newest).collect())
        missing = missing.join(last[-1], on="market_id", how="anti")
        if missing.is_empty():
            break
    return counted.join(pl.concat(last), on="market_id", how="left")


@st.cache_resource(show_spinner=False, max_entries=48)
def _candles(
    version: str, market_id: str, start: datetime | None, end: datetime | None, _lake: Lake, _snapshot: Snapshot
) -> pl.DataFrame:
    return backtests.candles(_lake, _snapshot, market_id, start, end)


@st.cache_data(show_spinner=False, max_entries=48)
def _gaps(version: str, market_id: str, _lake: Lake, _snapshot: Snapshot) -> Gaps | None:
    import polars as pl

    table = (
        _lake.scan_tables(_snapshot.select(_BARS))
        .filter(pl.col("market_id") == market_id)
        .select("market_id", "start", "end")
        .collect()
        .sort("end")
    )
    if table.is_empty():
        return None
    spacing = int(usual_spacing(table).item(0, "spacing_seconds"))
    silent = (
        table.with_columns(before=pl.col("end").shift(1))
        .filter(pl.col("end") - pl.col("before") > timedelta(seconds=GAP_FACTOR * spacing))
        .select("before", "start")
    )
    longest = silent.sort(pl.col("start") - pl.col("before"), descending=True).head(_GAPS_SHOWN)
    return Gaps(table.height, silent.height, spacing, tuple(longest.iter_rows()))


@st.cache_data(show_spinner=False, max_entries=48)
def _newest_ticks(version: str, market_id: str, _lake: Lake, _snapshot: Snapshot) -> pl.DataFrame:
    import polars as pl

    timed = [p for p in _snapshot.select() if p.key != _QUARANTINE and p.max_ts is not None]
    for partition in sorted(timed, key=lambda p: span_key(p.key), reverse=True):
        rows = _lake.scan_tables([partition]).filter(pl.col("market_id") == market_id).tail(TICKS_SHOWN).collect()
        if not rows.is_empty():
            return rows.reverse().drop("market_id")
    return pl.DataFrame()
