"""Incremental = full for all seven components at once, on real candles, over any history of the files."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.lake import Lake
from pipelines.project import load_project
from pipelines.snapshot import Snapshot
from tests.chain import perform_all
from tests.examples import examples
from tests.paths import SHARED_DATA, needs_shared_data

PAIRS = ("ETH", "LTC")
BARS = 700  # of five minutes: two and a half days
SETTINGS = """
[[sources.files.datasets]]
path = "data/*.csv"
kind = "spot"
interval_seconds = 300
[model]
kind = "logistic"
horizon_bars = 3
[publish]
max_brier_excess = 1.0
"""
_tick = itertools.count(1)


class Mill:
    """Files that are edited, and all seven components kept up to date by what changed."""

    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir(parents=True)
        (folder / "agent.toml").write_text(SETTINGS, encoding="utf-8")
        self.folder, self.made, self.runs = folder, dict[str, Snapshot](), 0

    def write(self, pair: str, rows: pl.DataFrame) -> None:
        """The pair's file with these rows, in this order; with a time of change of its own, as quick edits need."""
        path = self.folder / "data" / f"{pair}.csv"
        if rows.is_empty():
            path.unlink(missing_ok=True)
            return
        rows.write_csv(path)
        os.utime(path, ns=(next(_tick) * 10**9,) * 2)

    def run(self, lake: str = "lake", *, scratch: bool = False) -> dict[str, str]:
        """Component -> version, incrementally or from scratch in a lake of its own."""
        project = load_project(self.folder / "agent.toml")
        self.runs += 1
        now = perform_all(project, Lake(self.folder / lake), f"t{self.runs}", None if scratch else self.made)
        if not scratch:
            self.made = now
        return {name: snapshot.version for name, snapshot in now.items()}


@pytest.fixture(scope="module")
def real() -> dict[str, pl.DataFrame]:
    """Real five-minute candles of two pairs."""
    found = {}
    for pair in PAIRS:
        raw = pl.read_ipc(SHARED_DATA / "crypto-5m" / f"{pair}_BTC-5m.feather")
        found[pair] = raw.head(BARS).with_columns(pl.col("date").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return found


# An edit of one pair's file: (what, pair, where as a share of its rows, how many rows).
EDITS = st.tuples(
    st.sampled_from(["append", "late", "correct", "delete"]),
    st.sampled_from(PAIRS),
    st.floats(0, 0.999),
    st.integers(1, 60),
)


@needs_shared_data
@given(batches=st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=3))
@settings(max_examples=examples(2), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_history_in_any_batching_equals_one_run_from_scratch(
    batches: list[list[tuple[str, str, float, int]]],
    real: dict[str, pl.DataFrame],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mill = Mill(tmp_path_factory.mktemp("mill"))
    # Every tenth row comes late, the last 80 are appended.
    present = {pair: real[pair].head(BARS - 80).filter(pl.int_range(pl.len()) % 10 != 0) for pair in PAIRS}
    for pair in PAIRS:
        mill.write(pair, present[pair])
    mill.run()
    for batch in batches:
        for what, pair, share, count in batch:
            present[pair] = edited(what, present[pair], real[pair], share, count)
            mill.write(pair, present[pair])
        kept = mill.run()
    assert kept == mill.run("scratch", scratch=True)


def edited(what: str, rows: pl.DataFrame, real: pl.DataFrame, share: float, count: int) -> pl.DataFrame:
    """`rows` after one edit. Late rows are put at the file's end, out of order."""
    at = int(share * rows.height)
    missing = real.join(rows, on="date", how="anti", maintain_order="left")
    match what:
        case "append":
            return pl.concat([rows, missing.tail(count)])
        case "late":
            return pl.concat([rows, missing.head(count)])
        case "correct":
            wrong = rows.slice(at, count)
            return pl.concat([rows, wrong.with_columns(pl.col("open", "high", "low", "close") * 1.001)])
        case _:
            return pl.concat([rows.head(at), rows.slice(at + count)])
