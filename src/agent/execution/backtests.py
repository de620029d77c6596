"""Reads what backtests of the past wrote: their curves, their trades, and one's against another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import NotFound
from agent.store.database.engine import Connections
from agent.store.outputs import catalog
from pipelines.errors import LakeError
from pipelines.evaluation.attribution import Apart, trades_apart
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MODEL = "model"
_CURVE_POINTS = 400


@dataclass(frozen=True)
class Pair:
    """Two backtests: the model's equity in each (ts, equity), and which trades only one of them made."""

    before: pl.DataFrame
    after: pl.DataFrame
    trades: Apart


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
