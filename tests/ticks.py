"""Bars, trades and markets as snapshots, for tests of what is made of them. Real data is read where it lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.component import perform
from pipelines.components.features import Settings, build_features
from pipelines.features.bars import look_at
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, TICK_COLUMNS, frame_schema
from tests.paths import SHARED_DATA

TIME = pl.Datetime("us", "UTC")
KEY_OF = {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}


def source_bars(bars: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Bars (market_id, ts = start, open, high, low, close, volume) as a source of bars of `seconds` gives them."""
    start = pl.col("ts").cast(TIME)
    full = bars.with_columns(start=start, end=start + pl.duration(seconds=seconds))
    missing = [pl.lit(None, pl.Float64).alias(name) for name in BAR_COLUMNS if name not in full.columns]
    return full.with_columns(missing).select(*BAR_COLUMNS).sort("market_id", "start")


def trades(rows: Iterable[tuple[str, datetime, float]], **more: Any) -> pl.DataFrame:
    """Real ticks of (market_id, ts, price)."""
    frame = pl.DataFrame(list(rows), schema={"market_id": pl.String, "ts": TIME, "price": pl.Float64}, orient="row")
    others = {"seq": 0, "size": None, "side": None, "bid": None, "ask": None} | more
    frame = frame.with_columns(**{name: pl.lit(value) for name, value in others.items()})
    return frame.select(pl.col(name).cast(kind) for name, kind in frame_schema(TICK_COLUMNS).items())


def crypto_5m(pairs: Iterable[str], days: int) -> pl.DataFrame:
    """Real five-minute bars of the first whole days."""
    frames = []
    for pair in pairs:
        raw = pl.read_ipc(SHARED_DATA / "crypto-5m" / f"{pair}-5m.feather").rename({"date": "ts"})
        frames.append(raw.with_columns(market_id=pl.lit(f"files:{pair}"), ts=pl.col("ts").cast(TIME)))
    start = datetime(2018, 1, 11, tzinfo=UTC)
    bars = pl.concat(frames).filter(pl.col("ts").is_between(start, start + timedelta(days=days), closed="left"))
    return source_bars(bars, 300)


def crypto_trades() -> pl.DataFrame:
    """Real trades of one pair, many in one millisecond: numbered by trade id."""
    raw = pl.read_parquet(SHARED_DATA / "crypto-trades" / "XRP_ETH-trades.parquet")
    return (
        raw.select(
            market_id=pl.lit("files:XRP_ETH"),
            ts=pl.from_epoch(pl.col("timestamp"), time_unit="ms").dt.replace_time_zone("UTC").cast(TIME),
            seq=pl.col("id").cast(pl.Int64),
            price=pl.col("price").cast(pl.Float64),
            size=pl.col("amount").cast(pl.Float64),
            side=pl.col("side").cast(pl.String),
            bid=pl.lit(None, pl.Float64),
            ask=pl.lit(None, pl.Float64),
        )
        .unique()
        .sort("ts", "seq")
    )


def walk(market: str, *, bars: int, seconds: int, start: datetime, seed: int = 0, volume: bool = True) -> pl.DataFrame:
    """Source bars of a random walk that now and then stands still for a while."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.01, bars) * (rng.random(bars) < 0.8)
    close = 50 * np.exp(np.cumsum(steps))
    opened = np.concatenate([[50.0], close[:-1]])
    stretch = np.exp(np.abs(rng.normal(0, 0.002, bars)) * (steps != 0))
    return pl.DataFrame(
        {
            "market_id": [market] * bars,
            "ts": [start + timedelta(seconds=seconds * n) for n in range(bars)],
            "open": opened,
            "high": np.maximum(opened, close) * stretch,
            "low": np.minimum(opened, close) / stretch,
            "close": close,
            "volume": rng.uniform(0, 9, bars) if volume else None,
        },
        schema_overrides={"volume": pl.Float64, "ts": TIME},
    )


def universe(**markets: Mapping[str, Any]) -> pl.DataFrame:
    """A universe of market_id -> what differs from an open spot market without bars of its own."""
    rows = []
    for name, more in markets.items():
        row = {"source": "t", "external_id": name, "kind": "spot", "status": "open", **more, "market_id": name}
        if row.get("interval_seconds"):
            row["interval"] = f"{row['interval_seconds']}s"
        rows.append(row if row.get("interval") is None else {"timezone": "UTC", **row})
    frame = pl.DataFrame(rows, schema_overrides={"end_at": TIME} if any("end_at" in row for row in rows) else None)
    missing = [pl.lit(None).alias(name) for name in MARKET_COLUMNS if name not in frame.columns]
    types = frame_schema(MARKET_COLUMNS)
    return frame.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in types.items()).sort("market_id")


class Bench:
    """A lake with markets and ticks, and features made of them."""

    def __init__(self, root: Path) -> None:
        self.lake = Lake(root)
        self.attempts = 0

    def markets(self, frame: pl.DataFrame) -> Snapshot:
        part = self.lake.write_table("markets", "markets", frame, attempt=self._attempt())
        return Snapshot("markets", (part,))

    def ticks(self, *frames: pl.DataFrame, grains: Mapping[str, str] | None = None) -> Snapshot:
        """Bars or trades in partitions of a day, or what `grains` says of a market (day, month, year)."""
        grain = pl.col("market_id").replace_strict(dict(grains or {}), default="day", return_dtype=pl.String)
        attempt, parts = self._attempt(), []
        for frame in frames:
            prefix, begin, known = ("bars", "start", "end") if "start" in frame.columns else ("trades", "ts", "ts")
            keys = pl.coalesce(
                pl.when(grain == name).then(pl.col(begin).dt.strftime(form)) for name, form in KEY_OF.items()
            )
            cut = frame.with_columns(key=keys).partition_by("key", as_dict=True, include_key=False)
            parts += [
                self.lake.write_table("ticks", f"{prefix}/{key[0]}", rows, attempt=attempt, time=known)
                for key, rows in cut.items()
            ]
        return Snapshot("ticks", tuple(parts))

    def features(
        self,
        inputs: Mapping[str, Snapshot],
        settings: Settings | None = None,
        previous: Snapshot | None = None,
        before: Mapping[str, Snapshot] | None = None,
        redo: Iterable[str] = (),
        base: Path = Path(),
    ) -> Snapshot:
        """Features of `inputs`; with `previous` (made of `before`) only what changed is computed."""
        return perform(
            build_features,
            settings or Settings(),
            inputs,
            lake=self.lake,
            attempt=self._attempt(),
            previous=previous,
            previous_inputs=before,
            redo=frozenset(redo),
            base=base,
        )

    def table(self, snapshot: Snapshot, prefix: str) -> pl.DataFrame:
        """The tables below `prefix`; bars as features see them."""
        parts = [self.lake.read_table(one) for one in snapshot.select(prefix)]
        shown = [look_at(one) if "start" in one.columns else one for one in parts]
        return pl.concat(shown).sort("market_id", "ts") if shown else pl.DataFrame()

    def _attempt(self) -> str:
        self.attempts += 1
        return f"a{self.attempts}"
