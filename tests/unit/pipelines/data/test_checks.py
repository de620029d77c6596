"""The data contracts: what passes, and what a violation tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.data.checks import (
    check_bars,
    check_features,
    check_markets,
    check_predictions,
    check_source_bars,
    check_ticks,
)
from pipelines.errors import ContractViolation
from pipelines.features.bars import look_at
from tests.ticks import source_bars, trades, universe, walk

START = datetime(2020, 1, 3, tzinfo=UTC)
TICKS = trades(("m", START + timedelta(seconds=n), 2.0 + n % 3) for n in range(20))
SOURCE = source_bars(walk("m", bars=5, seconds=300, start=START), 300)
MARKETS = universe(a={}, m={"interval_seconds": 300})
BARS = SOURCE.with_columns(trade_count=pl.lit(1, pl.Int64))
FEATURES = look_at(BARS).select("market_id", "ts", rsi=pl.col("close").cast(pl.Float32))
PREDICTIONS = look_at(BARS).select(
    "market_id",
    "ts",
    price="close",
    probability=pl.lit(0.5),
    confidence=pl.lit(0.0),
    edge=pl.lit(0.0),
    net_edge=pl.lit(0.01),
    weight=pl.lit(0.2),
    action=pl.lit("buy"),
    reason=pl.lit("why"),
    model_version=pl.lit("abc"),
    horizon_bars=pl.lit(5),
)


def check_rsi(frame: pl.DataFrame) -> None:
    check_features(frame, features=["rsi"])


def check_odds(frame: pl.DataFrame) -> None:
    check_bars(frame, binary={"m"})


GOOD: dict[Callable[[pl.DataFrame], None], pl.DataFrame] = {
    check_ticks: TICKS,
    check_markets: MARKETS,
    check_bars: BARS,
    check_source_bars: SOURCE,
    check_rsi: FEATURES,
    check_predictions: PREDICTIONS,
}


def with_value(frame: pl.DataFrame, row: int, column: str, value: Any) -> pl.DataFrame:
    here = pl.int_range(pl.len()) == row
    return frame.with_columns(
        pl.when(here).then(pl.lit(value, dtype=frame.schema[column])).otherwise(column).alias(column)
    )


@pytest.mark.parametrize(("check", "frame"), GOOD.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_good_data_and_no_data_pass(check: Callable[[pl.DataFrame], None], frame: pl.DataFrame) -> None:
    check(frame)
    check(frame.clear())


NAN = float("nan")
BAD: list[tuple[Callable[[pl.DataFrame], None], int, str, Any, str]] = [
    (check_ticks, 3, "price", NAN, "price is not null"),
    (check_ticks, 3, "price", float("inf"), "price is finite and > 0"),
    (check_ticks, 3, "price", -1.0, "price is finite and > 0"),
    (check_ticks, 3, "price", 0.0, "price is finite and > 0"),
    (check_ticks, 3, "size", -1.0, "size is finite and >= 0"),
    (check_ticks, 3, "bid", NAN, "bid is finite and > 0"),
    (check_ticks, 3, "side", "up", "side is one of buy, sell"),
    (check_ticks, 3, "market_id", None, "market_id is not null"),
    (check_ticks, 3, "ts", START - timedelta(days=1), "sorted by (market_id, ts, seq)"),
    (check_ticks, 3, "market_id", "a", "sorted by (market_id, ts, seq)"),
    (check_markets, 0, "market_id", "m", "unique by (market_id)"),
    (check_markets, 0, "kind", "Bond!", "kind is spot, fx, equity, future, binary or a word of your own"),
    (check_markets, 0, "status", "shut", "status is one of open, closed, resolved, unlisted"),
    (check_markets, 0, "status", "resolved", "a resolved market has its resolution and resolved_at"),
    (check_markets, 1, "interval_seconds", 60, "interval_seconds is what interval says"),
    (check_markets, 1, "interval", "day", "interval_seconds is what interval says"),
    (check_markets, 1, "interval", "0s", "interval is seconds such as 300s, or day, week, month"),
    (check_markets, 1, "timezone", None, "bars have a timezone"),
    (check_bars, 2, "high", 1e-9, "low <= open, close <= high"),
    (check_bars, 2, "volume", -1.0, "volume is finite and >= 0"),
    (check_source_bars, 2, "end", START, "end > start"),
    (check_source_bars, 2, "end", START + timedelta(hours=1), "bars of a market do not overlap"),
    (check_source_bars, 2, "bid_open", 0.0, "bid_open is finite and > 0"),
    (check_bars, 2, "start", START, "sorted by (market_id, start)"),
    (check_odds, 2, "high", 1e9, "a binary market's price lies in 0..1"),
    (check_rsi, 1, "rsi", float("inf"), "rsi is finite or null"),
    (check_predictions, 1, "probability", 1.01, "probability lies in 0..1"),
    (check_predictions, 1, "edge", None, "edge is not null"),
    (check_predictions, 1, "net_edge", 0.0, "nothing is entered without an edge"),
    (check_predictions, 1, "action", "wait", "action is buy, sell or hold"),
]


@pytest.mark.parametrize(("check", "row", "column", "value", "rule"), BAD)
def test_a_broken_rule_is_named_with_its_rows(
    check: Callable[[pl.DataFrame], None], row: int, column: str, value: Any, rule: str
) -> None:
    frame = GOOD.get(check, BARS)
    with pytest.raises(ContractViolation) as caught:
        check(with_value(frame, row, column, value))
    text = str(caught.value)
    assert f": {rule}\n" in text
    assert "row " in text
    assert f"of {frame.height} rows" in text


def test_exact_duplicates_and_many_violations_are_counted() -> None:
    with pytest.raises(
        ContractViolation, match=r"rule broken in 1 of 21 rows: unique by \(market_id, ts, seq\)\n +row 1"
    ):
        check_ticks(pl.concat([TICKS[:1], TICKS]))
    with pytest.raises(ContractViolation) as caught:
        check_ticks(TICKS.with_columns(price=-pl.col("price")), "ticks, partition 2020-01-03")
    assert "rule broken in 20 of 20 rows: price is finite and > 0" in str(caught.value)
    assert str(caught.value).count("      row ") == 3
    assert caught.value.where == "ticks, partition 2020-01-03"


def test_columns_and_types_are_part_of_the_contract() -> None:
    frame = TICKS.drop("side").with_columns(more=1, size=pl.lit("9"))
    with pytest.raises(ContractViolation) as caught:
        check_ticks(frame)
    text = str(caught.value)
    assert "column 'side' is missing" in text
    assert "column 'more' does not belong here" in text
    assert "column 'size' is String, expected dtype('Float64')" in text
    with pytest.raises(ContractViolation, match="column 'ts' is Datetime"):
        check_ticks(TICKS.with_columns(pl.col("ts").dt.replace_time_zone(None)))
