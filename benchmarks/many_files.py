"""Thousands of small files: the first run, a run with nothing new, and one with one file changed.

Limits (issue 14): at most 2 ms a file, 1 s with nothing new, 2 s with one file changed; each beside a plain Polars
script that reads the same files one by one, so that ratios can be compared on any machine.

python benchmarks/many_files.py [--files 5000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import polars as pl

from pipelines.component import perform
from pipelines.components.markets import Settings as MarketSettings
from pipelines.components.markets import ingest_markets
from pipelines.components.ticks import Settings as TickSettings
from pipelines.components.ticks import ingest_ticks
from pipelines.lake import Lake
from pipelines.settings import Faults, build
from pipelines.snapshot import Snapshot
from pipelines.sources.files import FilesSource, Settings

ROWS = 3
_DATASET = {"path": "*.csv", "kind": "equity", "interval": "day", "timezone": "America/New_York"}


def write_files(folder: Path, count: int) -> None:
    """Three daily bars in each file, a market each."""
    for number in range(count):
        write_file(folder, number, 2.0)


def write_file(folder: Path, number: int, close: float) -> None:
    """One file."""
    lines = [f"2024-01-0{day},1.5,2.5,1,{close},{number}" for day in range(2, 2 + ROWS)]
    (folder / f"M{number:05d}.csv").write_text("\n".join(["date,open,high,low,close,volume", *lines]) + "\n")


class Project:
    """What the components `markets` and `ticks` make of a folder, run after run."""

    def __init__(self, folder: Path, lake: Path) -> None:
        faults = Faults("")
        settings: Settings = build(Settings, {"datasets": [_DATASET]}, "sources.files", faults)
        faults.raise_if_any()
        self.settings, self.folder, self.lake = settings, folder, Lake(lake)
        self.markets: Snapshot | None = None
        self.ticks: Snapshot | None = None
        self.runs = 0

    def run(self) -> float:
        """Seconds."""
        began = time.perf_counter()
        self.runs += 1
        sources = {"files": FilesSource(self.settings, self.folder)}
        markets = perform(
            ingest_markets, MarketSettings(), {}, lake=self.lake, attempt=f"m{self.runs}", sources=sources
        )
        self.ticks = perform(
            ingest_ticks,
            TickSettings(),
            {"markets": markets},
            lake=self.lake,
            attempt=f"t{self.runs}",
            previous=self.ticks,
            previous_inputs=None if self.markets is None else {"markets": self.markets},
            sources=sources,
        )
        self.markets = markets
        return time.perf_counter() - began

    def probe(self) -> float:
        """Seconds of what a run with nothing new does with the files."""
        began = time.perf_counter()
        FilesSource(self.settings, self.folder).probe()
        return time.perf_counter() - began


def plain(folder: Path, target: Path) -> float:
    """Seconds of a script that reads each file and writes all rows."""
    began = time.perf_counter()
    frames = [pl.read_csv(file, try_parse_dates=True) for file in sorted(folder.glob("*.csv"))]
    pl.concat(frames).write_parquet(target, compression="zstd")
    return time.perf_counter() - began


def main() -> None:
    """One line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=5000)
    options = parser.parse_args()
    os.environ.setdefault("POLARS_MAX_THREADS", "2")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "data")
        folder.mkdir()
        write_files(folder, options.files)
        base = plain(folder, Path(name, "plain.parquet"))
        project = Project(folder, Path(name, "lake"))
        first = project.run()
        each, ours = base / options.files * 1e3, first / options.files * 1e3
        print(f"{options.files:,} files of {ROWS} rows; plain script {base:.2f} s ({each:.2f} ms each)")
        print(f"  first run    {first:6.2f} s  {ours:.2f} ms each  ratio {first / base:.2f}")
        print(f"  nothing new  {project.probe():6.2f} s (probe)")
        write_file(folder, options.files // 2, 1.25)
        print(f"  one changed  {project.run():6.2f} s", flush=True)


if __name__ == "__main__":
    main()
