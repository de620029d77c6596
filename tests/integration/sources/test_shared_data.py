"""Every file of ../shared/data, read as it lies there by the settings in shared_data.toml."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.settings import Faults, build
from pipelines.source import Batch
from pipelines.sources.files import FilesSource, Settings
from tests.paths import SHARED_DATA, needs_shared_data

pytestmark = needs_shared_data

# Rows of each part, as its SOURCE.md or the file itself says; where fewer are taken, why.
ROWS = {
    "crypto-5m/ADA_BTC-5m.feather": 5720,
    "crypto-5m/DASH_BTC-5m.feather": 5758,
    "crypto-5m/ETC_BTC-5m.feather": 5759,
    "crypto-5m/ETH_BTC-5m.feather": 5760,
    "crypto-5m/LTC_BTC-5m.feather": 5760,
    "crypto-5m/NXT_BTC-5m.feather": 5760,
    "crypto-5m/TRX_BTC-5m.feather": 5754,
    "crypto-5m/XLM_BTC-5m.feather": 5760,
    "crypto-trades/XRP_ETH-trades.parquet": 12_477,
    "fx-1m/gbpusd-m1-bid-2012.csv": 30_117,  # with its ask side
    "coinbase-1h/BTCUSD-1h.parquet": 20_111,
    "lean-coinbase/BTCEUR-1m-quote.parquet": 4313,
    "lean-coinbase/BTCEUR-1m-trade.parquet": 3663,
    "lean-coinbase/BTCUSD-1d-quote.parquet": 1332,
    "lean-coinbase/BTCUSD-1d-trade.parquet": 1318,
    "lean-coinbase/BTCUSD-1m-quote.parquet": 7188,
    "lean-coinbase/BTCUSD-1m-trade.parquet": 12_423,
    "lean-coinbase/BTCUSD-1s-trade.parquet": 11_520,
    "lean-coinbase/ETHUSD-1m-quote.parquet": 5750,
    "lean-coinbase/ETHUSD-1m-trade.parquet": 5329,
    "lean-coinbase/LTCUSD-1m-quote.parquet": 4316,
    "lean-coinbase/LTCUSD-1m-trade.parquet": 3887,
    "lean-equity/AAPL-1d-trade.parquet": 5849,
    "lean-equity/AAPL-1h-trade.parquet": 40_831,
    "lean-equity/BAC-1d-trade.parquet": 5849,
    "lean-equity/BAC-1h-trade.parquet": 40_818,
    "lean-equity/GOOG-1d-trade.parquet": 4183,
    "lean-equity/GOOGL-1d-trade.parquet": 1761,
    "lean-equity/IBM-1d-trade.parquet": 5849,
    "lean-equity/IBM-1h-trade.parquet": 40_813,
    "lean-equity/QQQ-1d-trade.parquet": 3964,
    "lean-equity/SPY-1d-trade.parquet": 5849,
    "lean-equity/SPY-1h-trade.parquet": 40_832,
    "lean-oanda/EURUSD-1h-quote.parquet": 74_439,
    "lean-oanda/EURUSD-1m-quote.parquet": 18_184,
    "lean-oanda/EURUSD-tick-quote.parquet": 532_903,
    "lean-oanda/NZDUSD-1h-quote.parquet": 74_451,
    "lean-oanda/NZDUSD-1m-quote.parquet": 15_543,
    "lean-oanda/NZDUSD-tick-quote.parquet": 457_699,
    "lean-oanda/XAUUSD-1h-quote.parquet": 76_499,
    "forecastbench-daily/prices.parquet": 111_845,
    "forecastbench-daily/markets.parquet": 0,  # describes markets
    "polymarket-btc15m-books/books.parquet": 17_537,  # UP alone, two-sided, not crossed, before the end
    "polymarket-btc15m-books/markets.parquet": 0,
    "polymarket-btc5m/btcusd-chainlink-2026-06-08.parquet": 84_558,
    "polymarket-btc5m/btcusd-chainlink-2026-07-24.parquet": 78_515,
    "polymarket-btc5m/markets-2026-06-08.parquet": 0,
    "polymarket-btc5m/markets-2026-07-24.parquet": 0,
    "betfair-stream/ltp.parquet": 9786,  # 16 of 9802 are from after the settlement
    "betfair-stream/selections.parquet": 0,
    "betfair-stream/raw-1-166811431.jsonl.gz": 1819,
    "betfair-stream/raw-1-180305278.jsonl.gz": 3286,
}
SECOND_FILES = {"fx-1m/gbpusd-m1-ask-2012.csv"}  # read together with another one


@pytest.fixture(scope="module")
def source() -> FilesSource:
    values = tomllib.loads((Path(__file__).parent / "shared_data.toml").read_text())
    faults = Faults("shared_data.toml")
    settings: Settings = build(Settings, values["sources"]["files"], "sources.files", faults)
    faults.raise_if_any()
    return FilesSource(settings, SHARED_DATA)


@pytest.fixture(scope="module")
def universe(source: FilesSource) -> dict[str, dict[str, Any]]:
    return {row["external_id"]: row for row in source.markets().iter_rows(named=True)}


def first(batch: Batch, *columns: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = batch.frame.select(columns).row(0)
    return row


def test_no_file_is_left_unread(source: FilesSource) -> None:
    there = {file.relative_to(SHARED_DATA).as_posix() for file in SHARED_DATA.glob("*/*") if file.suffix != ".md"}
    assert source.probe().parts.keys() == there - SECOND_FILES == ROWS.keys()


@pytest.mark.parametrize("part", ROWS)
def test_every_row_is_read_and_none_is_bad(source: FilesSource, universe: dict[str, Any], part: str) -> None:
    batch = source.fetch(part)
    assert batch.frame.height == ROWS[part]
    assert batch.quarantined is None or batch.quarantined.is_empty()
    names = batch.frame.get_column("market_id").unique().str.strip_prefix("files:").to_list()
    assert universe.keys() >= set(names)


def test_candles(source: FilesSource, universe: dict[str, Any]) -> None:
    batch = source.fetch("crypto-5m/ADA_BTC-5m.feather")
    assert first(batch, "market_id", "start", "volume")[:2] == (
        "files:ADA_BTC",
        datetime(2018, 1, 10, 4, 55, tzinfo=UTC),
    )
    assert universe["ADA_BTC"]["interval_seconds"] == 300
    assert universe["ADA_BTC"]["kind"] == "spot"


def test_trades_keep_their_ids_and_shared_milliseconds(source: FilesSource) -> None:
    batch = source.fetch("crypto-trades/XRP_ETH-trades.parquet")
    assert first(batch, "ts", "seq", "side") == (datetime(2019, 10, 11, 0, 0, 11, 620_000, UTC), 13_519_807, "sell")
    assert batch.frame.get_column("ts").is_duplicated().sum() == 3446
    assert batch.frame.get_column("seq").n_unique() == 12_477


def test_bid_and_ask_candles_are_joined(source: FilesSource) -> None:
    batch = source.fetch("fx-1m/gbpusd-m1-bid-2012.csv")
    assert first(batch, "bid_open", "ask_open", "volume") == (1.57597, 1.57608, None)
    assert first(batch, "open") == ((1.57597 + 1.57608) / 2,)


def test_a_price_of_a_day_counts_from_its_end_and_an_outcome_from_when_it_was_seen(
    source: FilesSource, universe: dict[str, Any]
) -> None:
    raw = pl.read_parquet(SHARED_DATA / "forecastbench-daily" / "prices.parquet")
    batch = source.fetch("forecastbench-daily/prices.parquet")
    assert batch.frame.get_column("ts").min() == datetime(2024, 7, 29, tzinfo=UTC)
    assert str(raw.get_column("date").min()) == "2024-07-28"
    table = pl.read_parquet(SHARED_DATA / "forecastbench-daily" / "markets.parquet")
    resolved = table.filter(pl.col("outcome").is_not_null())
    mine = [row for name, row in universe.items() if name.startswith(("polymarket-", "manifold-"))]
    assert len(mine) == 2036
    assert sum(row["status"] == "resolved" for row in mine) == resolved.height == 893 + 248
    one = resolved.row(0, named=True)
    known = universe[f"{one['source']}-{one['market_id']}"]
    assert known["resolved_at"].date() == one["resolution_first_seen"]
    assert known["resolution"] == one["outcome"]


def test_books_end_with_their_market(source: FilesSource, universe: dict[str, Any]) -> None:
    batch = source.fetch("polymarket-btc15m-books/books.parquet")
    last = dict(batch.frame.group_by("market_id").agg(pl.col("ts").max()).iter_rows())
    assert len(last) == 18
    assert all(ts < universe[market.removeprefix("files:")]["end_at"] for market, ts in last.items())
    assert sum(universe[market.removeprefix("files:")]["resolution"] for market in last) == 13


def test_outcomes_without_prices(universe: dict[str, Any]) -> None:
    mine = [row for name, row in universe.items() if name.startswith("btc-updown-5m-")]
    assert len(mine) == 584
    assert {row["status"] for row in mine} == {"resolved"}


def test_odds_become_probabilities_and_the_raw_stream_gives_the_same(
    source: FilesSource, universe: dict[str, Any]
) -> None:
    ltp = source.fetch("betfair-stream/ltp.parquet").frame
    assert ltp.get_column("price").max() == 1 / 1.01
    for market in ("1.166811431", "1.180305278"):
        raw = source.fetch(f"betfair-stream/raw-{market.replace('.', '-')}.jsonl.gz").frame
        made = raw.select(pl.col("market_id").str.replace("raw-", ""), "ts", "price")
        kept = ltp.filter(pl.col("market_id").str.starts_with(f"files:{market}-")).select("market_id", "ts", "price")
        assert kept.height > 1000
        assert kept.join(made, on=["market_id", "ts", "price"], how="anti").is_empty()
    assert universe["1.166811431-60424"]["question"] == "Cleveland Cavaliers"
    assert universe["1.166564490-60424"]["status"] == "open"
