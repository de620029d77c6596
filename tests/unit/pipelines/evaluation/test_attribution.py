"""Which trades only one of two backtests made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.evaluation.attribution import trades_apart

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def trade(market: str = "a", day: int = 0, pnl: float = 0.1, probability: float | None = 0.61, side: int = 1) -> dict:
    at = START + day * DAY
    row = {"market_id": market, "side": side, "signal_at": at, "entry_at": at, "exit_at": at + DAY, "pnl": pnl}
    return {**row, "probability": probability, "reason": "flip" if pnl < 0 else "horizon"}


def trades(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={"probability": pl.Float64})


def test_trades_of_one_alone() -> None:
    before = trades(trade("a"), trade("b", pnl=0.1), trade("c", pnl=-0.4))
    after = trades(trade("a", pnl=0.09), trade("b", side=-1))
    found = trades_apart(before, after)
    assert found.both == 1
    assert found.before.get_column("market_id").to_list() == ["c", "b"]
    assert found.after.get_column("side").to_list() == [-1]
