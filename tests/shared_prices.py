"""Prices of the shared data as trades of generated venues, their times shifted so that they end now."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from pipelines.testing.venue_replies import Market, Trade
from tests.paths import SHARED_DATA


def crypto(
    until: datetime, step: timedelta, count: int, names: tuple[str, ...] = ("ETH_BTC", "LTC_BTC")
) -> dict[str, Market]:
    """Crypto candles of 5 minutes, each now one of `step`: `BASE-COUNTER` -> market."""
    frames = {name: pl.read_ipc(SHARED_DATA / f"crypto-5m/{name}-5m.feather") for name in names}
    return {name.replace("_", "-"): of_bars(name, frame, until, step, count) for name, frame in frames.items()}


def fx(until: datetime, step: timedelta, count: int) -> dict[str, Market]:
    """The bid of GBP/USD, minute by minute."""
    frame = pl.read_csv(SHARED_DATA / "fx-1m/gbpusd-m1-bid-2012.csv")
    return {"GBP_USD": of_bars("GBP_USD", frame, until, step, count)}


def outcomes(until: datetime, step: timedelta, count: int, names: list[str]) -> dict[str, Market]:
    """Daily prices of questions with at least `count` of them, each question under one of `names`."""
    frame = pl.read_parquet(SHARED_DATA / "forecastbench-daily/prices.parquet")
    key = "market_id"
    sizes = frame.group_by(key, maintain_order=True).len().filter(pl.col("len") >= count).get_column(key).to_list()
    found = {}
    for name, question in zip(names, sizes, strict=False):
        values = frame.filter(pl.col(key) == question).get_column("price").tail(count).to_list()
        trades = [Trade(until - (count - n) * step, min(0.99, max(0.01, value))) for n, value in enumerate(values)]
        found[name] = Market(name, trades, until - (count + 1) * step, until + timedelta(days=30))
    return found


def of_bars(name: str, frame: pl.DataFrame, until: datetime, step: timedelta, count: int) -> Market:
    """A market that trades at the open, high, low and close of the last `count` bars, the last of them ending at
    `until`."""
    trades = []
    for number, row in enumerate(frame.tail(count).iter_rows(named=True)):
        start = until - (count - number) * step
        size = float(row.get("volume") or 4.0) / 4
        trades += [
            Trade(start + step * place / 5, float(row[field]), round(size, 8))
            for place, field in enumerate(("open", "high", "low", "close"))
        ]
    return Market(name.replace("_", "-"), trades, until - (count + 1) * step, until + timedelta(days=30))
