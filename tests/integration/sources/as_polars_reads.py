"""What Polars alone makes of the files of ../shared/data: the truth that our readings are compared with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl

from tests.paths import SHARED_DATA

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


def of_part(part: str) -> tuple[pl.DataFrame, float | None]:
    """The rows of a file below ../shared/data, and the seconds of a bar; None for trades and quotes."""
    folder, name = part.split("/")
    make, seconds = next(value for (where, word), value in EXPECTED.items() if where == folder and word in name)
    return make(SHARED_DATA / part), seconds
