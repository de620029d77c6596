"""A run with nothing to do, against importing SQLAlchemy alone in the same environment: of the embedded sample (limit
1.6), and of a project that reads 2 000 files (limit 1.7). Prints both ratios.

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
FILES = 2_000
LIMITS = {"the sample": 1.6, f"{FILES} files": 1.7}
SOURCES = str(Path(__file__).resolve().parent.parent / "src")
RUN = [sys.executable, "-m", "agent.orchestrator", "--mode", "once"]
BASELINE = [sys.executable, "-c", "import sqlalchemy"]
DATASET = """[[sources.files.datasets]]
path = "prices/*.csv"
kind = "equity"
interval = "day"
timezone = "America/New_York"
"""


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": SOURCES})
    return time.perf_counter() - started


def make(folder: Path, files: int) -> list[str]:
    """A project of so many files of 3 daily bars; what more of its command line keeps to their components."""
    folder.mkdir()
    if files == 0:
        return []
    (folder / "agent.toml").write_text(DATASET, encoding="utf-8")
    prices = folder / "prices"
    prices.mkdir()
    for number in range(files):
        rows = "".join(f"2024-01-0{day},1.5,2.5,1,2,{number}\n" for day in (2, 3, 4))
        (prices / f"M{number:05d}.csv").write_text(f"date,open,high,low,close,volume\n{rows}", encoding="utf-8")
    return ["--target", "ticks"]


def main() -> None:
    """Alternate the two, so that a busy machine slows both alike, and compare the medians."""
    with tempfile.TemporaryDirectory() as name:
        for (what, limit), files in zip(LIMITS.items(), (0, FILES), strict=True):
            folder = Path(name) / str(files)
            run = [*RUN, *make(folder, files)]
            seconds(run, folder)  # the first run computes everything
            pairs = [(seconds(BASELINE, folder), seconds(run, folder)) for _ in range(ROUNDS)]
            theirs, ours = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
            ratio = statistics.median(run / base for base, run in pairs)
            print(
                f"{what:<11} import sqlalchemy {theirs:6.1f} ms   a run with no work {ours:6.1f} ms   "
                f"ratio {ratio:.2f} (limit {limit})",
                flush=True,
            )


if __name__ == "__main__":
    main()
