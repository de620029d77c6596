"""How much cheaper an incremental run of features is than a full one: 10 M ticks, 500 markets, 20 days.

Prints ratios against the full run of the same process. Limits: an appended day at most 1/10 of the full time; a late
tick in one market and one old day rewrites at most the partitions its look-back reaches.

    python benchmarks/incremental.py [--ticks 10000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.component import perform
from pipelines.components.features import Settings, build_features
from pipelines.lake import Lake
from pipelines.snapshot import Partition, Snapshot
from pipelines.source import MARKET_COLUMNS, TICK_COLUMNS, frame_schema

MARKETS, DAYS = 500, 20
START = datetime(2026, 1, 5, tzinfo=UTC)


def day_of_ticks(day: int, per_market: int, seed: int) -> pl.DataFrame:
    """Random-walk ticks of all markets on one day, sorted by market and time."""
    rng = np.random.default_rng(seed * 1000 + day)
    count = MARKETS * per_market
    begin = int((START + timedelta(days=day)).timestamp() * 1_000_000)
    times = np.sort(rng.integers(0, 86_400_000_000, (MARKETS, per_market)), axis=1).ravel() + begin
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.0005, (MARKETS, per_market)), axis=1)).ravel()
    names = np.repeat([f"bench:M{number:03d}" for number in range(MARKETS)], per_market)
    return (
        pl.DataFrame(
            {
                "market_id": names,
                "ts": pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
                "seq": np.arange(count),
                "price": prices,
                "size": rng.exponential(10.0, count),
            }
        )
        .with_columns(
            side=pl.lit(None, pl.String),
            bid=pl.lit(None, pl.Float64),
            ask=pl.lit(None, pl.Float64),
        )
        .select(pl.col(name).cast(kind) for name, kind in frame_schema(TICK_COLUMNS).items())
    )


def universe() -> pl.DataFrame:
    """The markets table of the ticks above."""
    names = [f"M{number:03d}" for number in range(MARKETS)]
    schema = frame_schema(MARKET_COLUMNS)
    known = {"source": "bench", "kind": "spot", "status": "open"}
    frame = pl.DataFrame({"market_id": [f"bench:{name}" for name in names], "external_id": names, "symbol": names})
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(known.get(name))).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def write_day(lake: Lake, day: int, frame: pl.DataFrame, attempt: str) -> Partition:
    """One day's partition of ticks."""
    return lake.write_table(
        "ticks", f"trades/{START + timedelta(days=day):%Y-%m-%d}", frame, attempt=attempt, time="ts"
    )


def main() -> None:
    """Full, appended day, late tick; each printed with its ratio to the full run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=10_000_000)
    per_market = parser.parse_args().ticks // MARKETS // DAYS
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        markets = Snapshot("markets", (lake.write_table("markets", "markets", universe(), attempt="m"),))
        days = [write_day(lake, day, day_of_ticks(day, per_market, 1), "t1") for day in range(DAYS)]
        first = {"markets": markets, "ticks": Snapshot("ticks", tuple(days[:-1]))}
        every = {"markets": markets, "ticks": Snapshot("ticks", tuple(days))}

        before, _ = timed(lake, first, "f1")
        full, full_seconds = timed(lake, every, "f2")
        appended, append_seconds = timed(lake, every, "f3", before, first)
        assert appended.version == full.version, "an appended day must give what a full run gives"

        old_day = day_of_ticks(4, per_market, 1)
        late = old_day.head(1).with_columns(price=pl.col("price") * 1.01, seq=pl.lit(10**9, pl.Int64))
        days[4] = write_day(lake, 4, pl.concat([old_day, late]).sort("market_id", "ts", "seq"), "t2")
        corrected = {"markets": markets, "ticks": Snapshot("ticks", tuple(days))}
        fixed, late_seconds = timed(lake, corrected, "f4", full, every)
        again, _ = timed(lake, corrected, "f5")
        assert fixed.version == again.version, "a late tick must give what a full run gives"

    rewritten = [key for key, one in fixed.by_key.items() if one.path != full.by_key[key].path]
    kept = [key for key in rewritten if key.startswith("features/")]
    print(f"{MARKETS * DAYS * per_market:,} ticks, {MARKETS} markets, {DAYS} days")
    print(f"full                 {full_seconds:7.2f} s   ratio 1")
    print(f"one appended day     {append_seconds:7.2f} s   ratio 1/{full_seconds / append_seconds:.1f}   (limit 1/10)")
    print(f"one late, old tick   {late_seconds:7.2f} s   ratio 1/{full_seconds / late_seconds:.1f}")
    print(f"  feature partitions rewritten: {len(kept)} of {DAYS} (look-back of 25 h reaches 3): {', '.join(kept)}")


def timed(
    lake: Lake,
    inputs: dict[str, Snapshot],
    attempt: str,
    previous: Snapshot | None = None,
    previous_inputs: dict[str, Snapshot] | None = None,
) -> tuple[Snapshot, float]:
    """The features of `inputs`, and the seconds it took."""
    started = time.perf_counter()
    snapshot = perform(
        build_features,
        Settings(),
        inputs,
        lake=lake,
        attempt=attempt,
        previous=previous,
        previous_inputs=previous_inputs,
    )
    return snapshot, time.perf_counter() - started


if __name__ == "__main__":
    main()
