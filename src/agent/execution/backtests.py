"""Reads what backtests of the past wrote: their curves, their trades and the bars these were made on, and one's against
another's."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from agent.errors import NotFound
from agent.store.database.engine import Connections
from agent.store.outputs import catalog
from pipelines.errors import LakeError
from pipelines.evaluation.attribution import Apart, trades_apart, with_probability
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MODEL = "model"
_CURVE_POINTS = 400
CANDLES = 500  # about two pixels each on a phone, four on a desk


@dataclass(frozen=True)
class Pair:
    """Two backtests: the model's equity in each (ts, equity), and which trades only one of them made."""

    before: pl.DataFrame
    after: pl.DataFrame
    trades: Apart


@dataclass(frozen=True)
class Sources:
    """A backtest's snapshot, and those of the model and the features it was made from where they are still there."""

    backtest: Snapshot
    model: Snapshot | None
    features: Snapshot | None


@dataclass(frozen=True)
class Backtest:
    """The model's equity (ts, equity) and its closed trades, newest first, with the probability at their signal."""

    curve: pl.DataFrame
    trades: pl.DataFrame


def find_sources(at: Connections, snapshot_id: int | None) -> Sources | None:
    """A backtest and what it was made from; None where it was never made or gc removed it."""
    try:
        row = None if snapshot_id is None else catalog.snapshot_row(at.project, snapshot_id)
    except NotFound:
        row = None
    if row is None:
        return None
    read = {name: one.snapshot_id for name, one in row.inputs.items() if name in ("model", "features")}
    known = catalog.load_snapshots(at.project, [row.id, *read.values()])
    model, features = (known.get(read.get(name) or 0) for name in ("model", "features"))
    return Sources(known[row.id], model, features) if known[row.id].select("equity/") else None


def read_backtest(lake: Lake, found: Sources) -> Backtest | None:
    """What a backtest wrote; None where gc took its files. Probabilities are null where the model's are gone."""
    import polars as pl

    try:
        curve, trades = equity_of(lake, found.backtest), trades_of(lake, found.backtest)
    except LakeError:
        return None
    columns: dict[str, pl.DataType | type[pl.DataType]] = {
        "market_id": pl.String,
        "ts": pl.Datetime("us", "UTC"),
        "probability": pl.Float64,
    }
    forecasts = pl.DataFrame(schema=columns)
    try:
        parts = () if found.model is None else found.model.select("oof/")
        if parts and not trades.is_empty():
            signals = trades.select("market_id", pl.col("signal_at").alias("ts")).unique().lazy()
            rows = lake.scan_tables(parts).select(*columns)
            forecasts = rows.join(signals, on=("market_id", "ts"), how="semi").collect()
    except LakeError:
        pass
    return Backtest(curve, with_probability(trades, forecasts))


def candles(
    lake: Lake,
    features: Snapshot,
    market_id: str,
    start: datetime | None = None,
    end: datetime | None = None,
    most: int = CANDLES,
) -> pl.DataFrame:
    """A market's bars from `start` to `end` (None: all), joined to at most `most` candles.

    Columns ts (start of the candle), open, high, low, close, volume, bars; none at all where no partition is in the
    span. Only partitions in the span are read. Raises LakeError.
    """
    import polars as pl

    wanted = [
        p
        for p in features.select("bars/")
        if p.min_ts and p.max_ts and (start is None or p.max_ts >= start) and (end is None or p.min_ts <= end)
    ]
    if not wanted:
        return pl.DataFrame()
    rows = lake.scan_tables(wanted).filter(pl.col("market_id") == market_id)
    if start is not None:
        rows = rows.filter(pl.col("start") >= start)
    if end is not None:
        rows = rows.filter(pl.col("start") <= end)
    table = rows.select("start", "open", "high", "low", "close", "volume").collect()
    if table.is_empty():
        return table
    # Candles hold equal numbers of bars rather than equal times: nights and weekends take no room of their own.
    per_candle = math.ceil(table.height / most)
    return (
        table.sort("start")
        .with_row_index("number")
        .group_by(pl.col("number") // per_candle, maintain_order=True)
        .agg(
            pl.col("start").first().alias("ts"),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.len().alias("bars"),
        )
        .drop("number")
    )


def find_backtests(at: Connections, snapshot_ids: tuple[int | None, int | None]) -> tuple[Snapshot, Snapshot] | None:
    """The snapshots of two backtests; None where one was never made or gc removed it."""
    before, after = snapshot_ids
    if before is None or after is None:
        return None
    try:
        first, second = (catalog.load_snapshot(at.project, number) for number in (before, after))
    except NotFound:
        return None
    return (first, second) if all(one.select("equity/") for one in (first, second)) else None


def read_pair(lake: Lake, found: tuple[Snapshot, Snapshot]) -> Pair | None:
    """Both backtests; None where gc took the files of one. Curves have at most some hundred points."""
    try:
        before, after = (_thin(equity_of(lake, one)) for one in found)
        return Pair(before, after, trades_apart(*(trades_of(lake, one) for one in found)))
    except LakeError:
        return None


def equity_of(lake: Lake, backtest: Snapshot) -> pl.DataFrame:
    """The model's equity: ts, equity, in time order. Raises LakeError."""
    import polars as pl

    table = lake.read_tables(backtest.select("equity/"), ("strategy", "ts", "equity"))
    return table.filter(pl.col("strategy") == _MODEL).select("ts", "equity").sort("ts", maintain_order=True)


def trades_of(lake: Lake, backtest: Snapshot) -> pl.DataFrame:
    """The model's closed trades, newest first. Raises LakeError."""
    import polars as pl

    rows = lake.scan_tables(backtest.select("trades/")).filter(pl.col("strategy") == _MODEL)
    return rows.drop("strategy").sort("exit_at", "market_id", descending=[True, False]).collect()


def _thin(curve: pl.DataFrame) -> pl.DataFrame:
    """Every so many points, and the last one."""
    import polars as pl

    step = -(-curve.height // _CURVE_POINTS) or 1
    number = pl.int_range(pl.len())
    return curve.filter((number % step == 0) | (number == pl.len() - 1))
