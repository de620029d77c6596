"""Many rows from files to features, beside a plain Polars script that reads the same files and makes the same bars.

Trades: MARKETS files a market, each of FILES parts; bars of five minutes: a file a market. Printed are seconds, ratios
to the plain script in the same run, and peak memory. Limits (issue 14): ticks at most 2.5 times the plain script,
features 2.5; from bars 2 and 3; memory 0.3. Then a thousand partitions of one row: 5 ms each.

python benchmarks/bulk.py [--trades 10000000] [--bars 2500000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.component import perform
from pipelines.components.features import Settings as FeatureSettings
from pipelines.components.features import build_features
from pipelines.components.markets import Settings as MarketSettings
from pipelines.components.markets import ingest_markets
from pipelines.components.ticks import Settings as TickSettings
from pipelines.components.ticks import ingest_ticks
from pipelines.lake import Lake
from pipelines.settings import Faults, build
from pipelines.sources.files import FilesSource, Settings

MARKETS, FILES, DAYS = 20, 25, 20
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1_000_000)


def write_trades(folder: Path, count: int) -> None:
    """Random walks, each market's rows in order over FILES files."""
    per_market = count // MARKETS
    for market in range(MARKETS):
        rng = np.random.default_rng(market)
        times = np.sort(rng.integers(0, DAYS * 86_400_000, per_market)) + START // 1000
        frame = pl.DataFrame(
            {
                "ts": times,
                "id": np.arange(per_market),
                "price": 100 * np.exp(np.cumsum(rng.normal(0, 0.0002, per_market))),
                "size": rng.exponential(10.0, per_market),
            }
        )
        step = -(-per_market // FILES)
        for number in range(FILES):
            frame.slice(number * step, step).write_parquet(folder / f"M{market:02d}.{number:02d}.parquet")


def write_bars(folder: Path, count: int) -> None:
    """Five-minute bars of 100 markets, a file each."""
    per_market = count // 100
    starts = (START + np.arange(per_market) * 300_000_000) // 1000
    for market in range(100):
        rng = np.random.default_rng(market)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, per_market)))
        opened = np.concatenate([[100.0], close[:-1]])
        pl.DataFrame(
            {
                "ts": starts,
                "open": opened,
                "high": np.maximum(opened, close) * 1.001,
                "low": np.minimum(opened, close) / 1.001,
                "close": close,
                "volume": rng.exponential(10.0, per_market),
            }
        ).write_parquet(folder / f"B{market:02d}.parquet")


def dataset(kind: str) -> dict[str, Any]:
    """How the files are read."""
    common = {"path": "*.parquet", "kind": "spot", "ts_unit": "ms", "market_pattern": r"(?P<market>[MB]\d+)"}
    return common | ({"content": "trades"} if kind == "trades" else {"interval_seconds": 300})


def ours(folder: Path, kind: str, lake: Path) -> dict[str, float]:
    """Seconds of ticks and of features."""
    faults = Faults("")
    settings: Settings = build(Settings, {"datasets": [dataset(kind)]}, "sources.files", faults)
    faults.raise_if_any()
    sources, here = {"files": FilesSource(settings, folder)}, Lake(lake)
    markets = perform(ingest_markets, MarketSettings(), {}, lake=here, attempt="m", sources=sources)
    began = time.perf_counter()
    ticks = perform(ingest_ticks, TickSettings(), {"markets": markets}, lake=here, attempt="t", sources=sources)
    middle = time.perf_counter()
    perform(build_features, FeatureSettings(), {"ticks": ticks, "markets": markets}, lake=here, attempt="f")
    return {"ticks": middle - began, "features": time.perf_counter() - middle}


def plain(folder: Path, kind: str, lake: Path) -> dict[str, float]:
    """The same by a script that knows these files alone: read, sort, write by day; bars, and the same features."""
    from pipelines.components import features as room
    from pipelines.feature import Bars, features_in

    lake.mkdir()
    began = time.perf_counter()
    name = pl.col("path").str.extract(r"([MB]\d+)[^/]*$").alias("market_id")
    rows = pl.scan_parquet(folder / "*.parquet", include_file_paths="path").select(
        name, pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC"), pl.exclude("path", "ts")
    )
    table = rows.collect().sort("market_id", "ts")
    for (day,), part in table.group_by(pl.col("ts").dt.date(), maintain_order=True):
        part.write_parquet(lake / f"{day}.parquet", compression="zstd")
    middle = time.perf_counter()
    bars = table.rename({"ts": "start"})
    if kind == "trades":
        bars = table.group_by("market_id", pl.col("ts").dt.truncate("5m").alias("start"), maintain_order=True).agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("size").sum(),
        )
    bars = bars.with_columns(
        ts=pl.col("start") + pl.duration(seconds=300),
        bar_start=pl.col("start"),
        interval_seconds=pl.lit(300, pl.Int64),
        spread=pl.lit(None, pl.Float64),
        kind=pl.lit("spot"),
        end_at=pl.lit(None, pl.Datetime("us", "UTC")),
        log_return=(pl.col("close") / pl.col("close").shift(1)).log().over("market_id"),
    )
    values = [
        one.function(Bars()).over("market_id").cast(pl.Float32).alias(one.name) for one in features_in(vars(room))
    ]
    made = bars.select("market_id", "ts", *values)
    for (day,), part in made.group_by(pl.col("ts").dt.date(), maintain_order=True):
        part.write_parquet(lake / f"features-{day}.parquet", compression="zstd")
    return {"ticks": middle - began, "features": time.perf_counter() - middle}


def read_and_write(folder: Path, kind: str, lake: Path) -> dict[str, float]:
    """Nothing but `polars read + write`."""
    lake.mkdir()
    began = time.perf_counter()
    pl.read_parquet(folder / "*.parquet").write_parquet(lake / "all.parquet", compression="zstd")
    return {"ticks": time.perf_counter() - began, "features": 0.0}


def partitions_of_one_row(folder: Path, count: int) -> float:
    """Seconds of ticks for each of `count` partitions of a day with one bar."""
    days = [(START // 1_000_000 + number * 86_400) * 1000 for number in range(count)]
    prices: dict[str, Any] = {name: [1.0] * count for name in ("open", "high", "low", "close")}
    pl.DataFrame({"ts": days, **prices}).write_parquet(folder / "B00.parquet")
    faults = Faults("")
    settings: Settings = build(Settings, {"datasets": [dataset("bars") | {"interval_seconds": 86_400}]}, "", faults)
    faults.raise_if_any()
    sources, here = {"files": FilesSource(settings, folder)}, Lake(folder / "lake")
    markets = perform(ingest_markets, MarketSettings(), {}, lake=here, attempt="m", sources=sources)
    began = time.perf_counter()
    by_day = TickSettings(partition="day")
    perform(ingest_ticks, by_day, {"markets": markets}, lake=here, attempt="t", sources=sources)
    return (time.perf_counter() - began) / count


def _child(work: Callable[..., dict[str, float]], arguments: tuple[Any, ...], pipe: Any) -> None:
    seconds = work(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pipe.send({**seconds, "peak": peak})


def measured(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Seconds and peak memory of `work` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(work, arguments, there))
    process.start()
    found: dict[str, float] = here.recv()
    process.join()
    return found


def main() -> None:
    """Both kinds; a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trades", type=int, default=10_000_000)
    parser.add_argument("--bars", type=int, default=2_500_000)
    options = parser.parse_args()
    os.environ.setdefault("POLARS_MAX_THREADS", "2")
    for kind, count, write in (("trades", options.trades, write_trades), ("bars", options.bars, write_bars)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "data").mkdir()
            write(folder / "data", count)
            raw = measured(read_and_write, folder / "data", kind, folder / "raw")
            base = measured(plain, folder / "data", kind, folder / "plain")
            mine = measured(ours, folder / "data", kind, folder / "lake")
        print(f"{count:,} {kind}: polars read + write {raw['ticks']:.2f} s")
        for what in ("ticks", "features"):
            ratio = mine[what] / base[what]
            print(f"  {what:<9} {mine[what]:7.2f} s   plain script {base[what]:6.2f} s   ratio {ratio:.2f}")
        print(f"  memory    {mine['peak'] / 1e6:7.0f} MB  plain script {base['peak'] / 1e6:6.0f} MB", end="")
        print(f"  ratio {mine['peak'] / base['peak']:.2f}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        print(f"partitions of one row: {1000 * partitions_of_one_row(Path(name), 1000):.1f} ms each   (limit 5)")


if __name__ == "__main__":
    main()
