"""Bars and features as snapshots, for tests of what is computed from them: made-up walks and real five-minute bars."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.component import Component, perform
from pipelines.feature import LEAKS
from pipelines.features.bars import look_at
from pipelines.lake import Lake
from pipelines.snapshot import Partition, Snapshot
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, frame_schema
from tests.paths import SHARED_DATA

COSTS = {"half_spread": 1e-4, "slippage": 2e-4, "fee": 2e-4}  # 10 basis points a round trip
START = datetime(2018, 1, 1, tzinfo=UTC)


def walk_bars(
    markets: int = 3, bars: int = 400, *, seed: int = 1, seconds: int = 86_400, trend: float = 0.0
) -> pl.DataFrame:
    """Bars of geometric random walks with a little momentum, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(markets):
        noise = rng.normal(trend, 0.02, bars)
        steps = noise + 0.4 * np.concatenate([[0.0], noise[:-1]])
        close = 100 * np.exp(np.cumsum(steps))
        opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 0.001, bars))
        start = pl.Series([START + timedelta(seconds=seconds * n) for n in range(bars)]).cast(pl.Datetime("us", "UTC"))
        frames.append(
            pl.DataFrame(
                {
                    "market_id": pl.Series([f"walk:M{number}"] * bars),
                    "bar_start": start,
                    "open": opened,
                    "high": np.maximum(opened, close),
                    "low": np.minimum(opened, close),
                    "close": close,
                    "volume": rng.uniform(1, 10, bars),
                }
            )
        )
    return _complete(pl.concat(frames), seconds)


def crypto_bars(pairs: Sequence[str] | None = None) -> pl.DataFrame:
    """The real five-minute bars, read where they lie."""
    frames = []
    for path in sorted((SHARED_DATA / "crypto-5m").glob("*.feather")):
        pair = path.name.partition("-")[0]
        if pairs is None or pair in pairs:
            frame = pl.read_ipc(path).rename({"date": "bar_start"})
            frames.append(
                frame.with_columns(
                    pl.col("bar_start").cast(pl.Datetime("us", "UTC")), pl.lit(f"files:{pair}").alias("market_id")
                )
            )
    return _complete(pl.concat(frames), 300)


def _complete(bars: pl.DataFrame, seconds: int) -> pl.DataFrame:
    full = bars.with_columns(start=pl.col("bar_start"), end=pl.col("bar_start") + pl.duration(seconds=seconds))
    missing = [pl.lit(None, pl.Float64).alias(name) for name in BAR_COLUMNS if name not in full.columns]
    return look_at(full.with_columns(missing).select(*BAR_COLUMNS)).sort("market_id", "ts")


def stored(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars as they lie in the lake, from bars as features see them."""
    return bars.with_columns(start=pl.col("bar_start"), end=pl.col("ts")).select(*BAR_COLUMNS)


def features_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Six plain features of each bar, none of which looks ahead."""
    change = (pl.col("close") / pl.col("close").shift(1).over("market_id")).log()
    return (
        bars.sort("market_id", "ts")
        .with_columns(change=change)
        .select(
            "market_id",
            "ts",
            pl.col("change").alias("return_1"),
            *[
                (pl.col("close") / pl.col("close").shift(span).over("market_id") - 1).alias(f"return_{span}")
                for span in (3, 10)
            ],
            pl.col("change").rolling_std(20).over("market_id").alias("volatility_short"),
            (pl.col("high") / pl.col("low") - 1).alias("range"),
            pl.col("ts").dt.weekday().alias("weekday"),
        )
        .with_columns(pl.exclude("market_id", "ts").cast(pl.Float32))
    )


def partition_format(bars: pl.DataFrame) -> str:
    """Keys as the features component cuts them: years of daily bars, days of others."""
    return "%Y" if bars.item(0, "interval_seconds") >= 86_400 else "%Y-%m-%d"


def features_snapshot(lake: Lake, bars: pl.DataFrame, attempt: str = "f") -> Snapshot:
    """`bars` and their features as a snapshot of the features component."""
    features = features_of(bars)
    form = partition_format(bars)
    start = {
        "bars": pl.col("bar_start"),
        "features": pl.col("ts") - pl.duration(seconds=bars.item(0, "interval_seconds")),
    }
    partitions: list[Partition] = []
    for prefix, frame in (("bars", bars), ("features", features)):
        keyed = frame.with_columns(key=start[prefix].dt.strftime(form))
        for (key,), part in keyed.group_by("key"):
            part = part.drop("key").sort("market_id", "ts")
            part, time = (stored(part), "end") if prefix == "bars" else (part, "ts")
            partitions.append(lake.write_table("features", f"{prefix}/{key}", part, attempt=attempt, time=time))
    memo = json.dumps({"tested": features.columns[2:], "filled": features.columns[2:], "not_tested": []}).encode()
    partitions.append(lake.write_bytes("features", LEAKS, memo, attempt=attempt, suffix=".json"))
    return Snapshot("features", tuple(partitions))


def markets_snapshot(lake: Lake, bars: pl.DataFrame, *, attempt: str = "m", **columns: Any) -> Snapshot:
    """The universe of `bars`; `columns` overrides values for all markets."""
    ids = bars.get_column("market_id").unique().sort().to_list()
    values: dict[str, Any] = {"kind": "spot", "status": "open"} | COSTS | columns
    rows = [
        {"market_id": one, "source": one.partition(":")[0], "external_id": one.partition(":")[2], "symbol": one}
        | values
        for one in ids
    ]
    values = {"has_default_costs": True} | values
    schema = frame_schema(MARKET_COLUMNS) | dict.fromkeys(COSTS, pl.Float64) | {"has_default_costs": pl.Boolean}
    frame = pl.DataFrame([dict.fromkeys(MARKET_COLUMNS) | row for row in rows], schema=schema)
    return Snapshot("markets", (lake.write_table("markets", "markets", frame, attempt=attempt),))


def ticks_snapshot(lake: Lake, bars: pl.DataFrame, attempt: str = "t") -> Snapshot:
    """Closing prices as ticks: enough for what asks ticks for their version and newest time alone."""
    frame = bars.select("market_id", "ts", pl.col("close").alias("price"))
    return Snapshot("ticks", (lake.write_table("ticks", "all", frame, attempt=attempt, time="ts"),))


def compute(
    component: Component,
    lake: Lake,
    inputs: Mapping[str, Snapshot],
    settings: Any = None,
    *,
    attempt: str = "a1",
    previous: Snapshot | None = None,
    previous_inputs: Mapping[str, Snapshot] | None = None,
    redo: frozenset[str] = frozenset(),
) -> Snapshot:
    """One component, with its default settings unless told."""
    return perform(
        component,
        component.settings() if settings is None else settings,
        {name: inputs[name] for name in component.upstream},
        lake=lake,
        attempt=attempt,
        previous=previous,
        previous_inputs=previous_inputs,
        redo=redo,
    )


def lake_at(folder: Path) -> Lake:
    """An empty lake below a test's own folder."""
    return Lake(folder / "lake")


def with_facts(markets: pl.DataFrame, *, round_trip: float) -> pl.DataFrame:
    """`markets` (market_id, kind) that never resolve, where entry and exit together cost `round_trip`, a fraction."""
    return markets.with_columns(
        resolved_at=pl.lit(None, pl.Datetime("us", "UTC")),
        resolution=pl.lit(None, pl.Float64),
        half_spread=pl.lit(round_trip / 2),
        slippage=pl.lit(0.0),
        fee=pl.lit(0.0),
    )
