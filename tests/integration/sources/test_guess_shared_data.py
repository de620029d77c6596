"""Every file of ../shared/data through `agent sources guess` alone, compared with Polars' own reading of the file."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.data.guessing.block import toml_text
from pipelines.data.guessing.guess import guess
from pipelines.sources.files import FilesSource
from tests.integration.sources.test_files import source as files_source
from tests.paths import SHARED_DATA, needs_shared_data

pytestmark = needs_shared_data

PRICES = ["open", "high", "low", "close"]
QUOTES = [f"{side}_{price}" for side in ("bid", "ask") for price in PRICES]
MS = pl.Datetime("ms")


def micros(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Datetime("us", "UTC")).alias("at")


def of_ms(name: str) -> pl.Expr:
    return pl.col(name).cast(MS).dt.replace_time_zone("UTC").cast(pl.Datetime("us", "UTC")).alias("at")


def candles(file: Path) -> pl.DataFrame:
    table = pl.read_ipc(file) if file.suffix == ".feather" else pl.read_parquet(file)
    time = next(name for name in ("ts", "date") if name in table.columns)
    volume = "volume_btc" if "volume_btc" in table.columns else "volume"
    return table.select(micros(time), *PRICES, pl.col(volume).alias("volume"))


def quoted_candles(file: Path) -> pl.DataFrame:
    table = pl.read_parquet(file)
    mids = [((pl.col(f"bid_{name}") + pl.col(f"ask_{name}")) / 2).alias(name) for name in PRICES]
    return table.select(micros("ts"), *mids, *QUOTES)


def fx_candles(file: Path) -> pl.DataFrame:
    sides = {}
    for side in ("bid", "ask"):
        table = pl.read_csv(file.with_name(file.name.replace("-bid-", f"-{side}-")))
        sides[side] = table.rename({name: f"{side}_{name}" for name in PRICES})
    both = sides["bid"].join(sides["ask"], on="timestamp")
    at = pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%z", time_unit="us").alias("at")
    mids = [((pl.col(f"bid_{name}") + pl.col(f"ask_{name}")) / 2).alias(name) for name in PRICES]
    return both.select(at, *mids, *QUOTES)


def ticks(file: Path) -> pl.DataFrame:
    mid = (pl.col("bid") + pl.col("ask")) / 2
    return pl.read_parquet(file).select(micros("ts"), mid.alias("price"), "bid", "ask")


def crypto_trades(file: Path) -> pl.DataFrame:
    table = pl.read_parquet(file)
    return table.select(of_ms("timestamp"), "price", pl.col("amount").alias("size"), "side", seq=pl.col("id").cast(int))


def daily_prices(file: Path) -> pl.DataFrame:
    # The guess says so: a price with a date alone counts from the end of that day.
    at = (pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + timedelta(days=1)).alias("at")
    return pl.read_parquet(file).select(at, "price", market=pl.col("market_id"))


def books(file: Path) -> pl.DataFrame:
    ends = pl.read_parquet(file.with_name("markets.parquet")).select("market_id", "end_ts")
    bid, ask = pl.col("bid_px").list.first(), pl.col("ask_px").list.first()
    rows = (
        pl.read_parquet(file)
        .join(ends, on="market_id", maintain_order="left")
        .filter((pl.col("side") == "UP") & (pl.col("ts") < pl.col("end_ts")) & (bid <= ask))
    )
    return rows.select(of_ms("ts"), ((bid + ask) / 2).alias("price"), bid.alias("bid"), ask.alias("ask"))


def feed(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file).select(of_ms("feed_ts_ms"), pl.col("value").alias("price"))


def odds(file: Path) -> pl.DataFrame:
    key = ["market_id", "selection_id"]
    settled = pl.col("settled_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%Z", time_unit="us", time_zone="UTC")
    ends = pl.read_parquet(file.with_name("selections.parquet")).select(*key, end=settled)
    table = pl.read_parquet(file).join(ends, on=key, how="left", maintain_order="left")
    table = table.filter((pl.col("ts") < pl.col("end")).fill_null(True))
    name = pl.format("{}-{}", "market_id", "selection_id").alias("market")
    return table.select(micros("ts"), (1 / pl.col("ltp")).alias("price"), name)


def stream(file: Path) -> pl.DataFrame:
    rows = []
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        message = json.loads(line)
        for market in message["mc"]:
            rows += [
                (message["pt"], 1 / runner["ltp"], f"raw-{market['id']}-{runner['id']}")
                for runner in market.get("rc") or ()
                if runner.get("ltp") is not None
            ]
    return pl.DataFrame(rows, schema=["pt", "price", "market"], orient="row").select(of_ms("pt"), "price", "market")


# Folder, and what its files' names have in common -> what Polars makes of them, and how long a bar is.
EXPECTED: dict[tuple[str, str], tuple[Callable[[Path], pl.DataFrame], float | None]] = {
    ("crypto-5m", "5m"): (candles, 300),
    ("crypto-trades", "trades"): (crypto_trades, None),
    ("coinbase-1h", "1h"): (candles, 3600),
    ("fx-1m", "bid"): (fx_candles, 60),
    ("lean-coinbase", "1m-quote"): (quoted_candles, 60),
    ("lean-coinbase", "1d-quote"): (quoted_candles, 86_400),
    ("lean-coinbase", "1m-trade"): (candles, 60),
    ("lean-coinbase", "1d-trade"): (candles, 86_400),
    ("lean-coinbase", "1s-trade"): (candles, 1),
    ("lean-equity", "1h-trade"): (candles, 3600),
    ("lean-equity", "1d-trade"): (candles, 86_400),
    ("lean-oanda", "1h-quote"): (quoted_candles, 3600),
    ("lean-oanda", "1m-quote"): (quoted_candles, 60),
    ("lean-oanda", "tick"): (ticks, None),
    ("forecastbench-daily", "prices"): (daily_prices, None),
    ("polymarket-btc15m-books", "books"): (books, None),
    ("polymarket-btc5m", "chainlink"): (feed, None),
    ("betfair-stream", "ltp"): (odds, None),
    ("betfair-stream", "raw"): (stream, None),
}
PARTS = sorted(
    path.relative_to(SHARED_DATA).as_posix()
    for folder, word in EXPECTED
    for path in (SHARED_DATA / folder).glob(f"*{word}*")
)
KINDS = {"crypto": "spot", "coinbase": "spot", "fx": "fx", "lean-equity": "equity", "lean-oanda": "fx"}


@pytest.fixture(scope="module")
def datasets() -> list[dict[str, Any]]:
    """As agent.toml would have them."""
    text = toml_text(guess(SHARED_DATA, [SHARED_DATA]))
    found: list[dict[str, Any]] = tomllib.loads(text)["sources"]["files"]["datasets"]
    return found


@pytest.fixture(scope="module")
def source(datasets: list[dict[str, Any]]) -> FilesSource:
    return files_source(SHARED_DATA, *datasets)


def test_no_file_is_left_unread(source: FilesSource) -> None:
    there = {file.relative_to(SHARED_DATA).as_posix() for file in SHARED_DATA.glob("*/*") if file.suffix != ".md"}
    assert source.probe().parts.keys() == there - {"fx-1m/gbpusd-m1-ask-2012.csv"}


@pytest.mark.parametrize("part", PARTS)
def test_the_rows_are_those_of_the_file(source: FilesSource, part: str) -> None:
    folder, name = part.split("/")
    make, seconds = next(value for (where, word), value in EXPECTED.items() if where == folder and word in name)
    expected, batch = make(SHARED_DATA / part), source.fetch(part)
    frame = batch.frame
    assert batch.quarantined is None or batch.quarantined.is_empty()
    if seconds is not None:
        assert frame.select((pl.col("end") - pl.col("start")).dt.total_seconds().unique()).to_series().to_list() == [
            seconds
        ]
    time = "ts" if seconds is None else "start"
    market = pl.col("market_id").str.strip_prefix("files:").alias("market")
    found = frame.select(pl.col(time).alias("at"), pl.exclude(time, "market_id"), market).select(expected.columns)
    assert found.cast(dict(expected.schema)).equals(expected)  # type: ignore[arg-type]


def test_the_markets_are_told_apart(source: FilesSource, datasets: list[dict[str, Any]]) -> None:
    universe = {row["external_id"]: row for row in source.markets().iter_rows(named=True)}
    for part in PARTS:
        if not part.startswith(("betfair", "forecast", "polymarket-btc15m")):
            name = source.fetch(part).frame.item(0, "market_id").removeprefix("files:")
            assert name.lower().startswith(Path(part).stem.lower().partition("-")[0].replace(".", "")), part
    kinds = {one["path"].split("/")[0]: one["kind"] for one in datasets if "path" in one}
    for start, kind in KINDS.items():
        assert {value for folder, value in kinds.items() if folder.startswith(start)} == {kind}
    assert {kinds[one] for one in kinds if one.startswith(("betfair", "forecast", "polymarket-btc15m"))} == {"binary"}
    markets = pl.read_parquet(SHARED_DATA / "polymarket-btc5m" / "markets-2026-06-08.parquet").row(0, named=True)
    known = universe[markets["slug"]]
    assert (known["resolution"], known["end_at"].timestamp()) == (markets["up_won"], markets["end_sec"])
    resolved = pl.read_parquet(SHARED_DATA / "forecastbench-daily" / "markets.parquet").drop_nulls("outcome")
    for row in resolved.head(50).iter_rows(named=True):
        known = universe[row["market_id"]]
        assert known["resolution"] == row["outcome"]
        # Of the two times at which an outcome may have been known the later one.
        assert known["resolved_at"].date() == row["resolution_first_seen"]
    for row in pl.read_parquet(SHARED_DATA / "polymarket-btc15m-books" / "markets.parquet").iter_rows(named=True):
        assert universe[row["market_id"]]["resolution"] == row["payout_up"]
