"""What many partitions and many runs cost: day partitions of one bar each, and one more day at a time.

Prints, each with its limit: how much longer one more day takes `ticks` with 10 000 partitions than with 10, how much
the database grows by it, a run with nothing to do against importing SQLAlchemy alone; then, with --runs, runs of one
more day on 3 650 partitions: the size of the database, the last run against the tenth, and what gc takes.

    python benchmarks/catalog.py [--runs 1000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.upkeep import gc
from agent.execution.workspace import open_workspace
from agent.store.database import engine

FIRST = date(1990, 1, 1)
TARGET = ("ticks",)
ROUNDS = 5
SOURCES = str(Path(__file__).resolve().parent.parent / "src")
SETTINGS = """
[lake]
keep_results_days = 0
[ticks]
partition = "day"
[[sources.files.datasets]]
path = "bars.csv"
kind = "spot"
interval = "day"
market = "ABC"
timezone = "UTC"
"""


def project(folder: Path, days: int) -> None:
    """A project of one file with a bar a day."""
    folder.mkdir()
    (folder / "agent.toml").write_text(SETTINGS, encoding="utf-8")
    write(folder, days)


def write(folder: Path, days: int) -> None:
    """The file, with `days` rows."""
    rows = [f"{FIRST + timedelta(days=day)},1,2,0.5,{1 + day % 7 / 10}" for day in range(days)]
    (folder / "bars.csv").write_text("\n".join(["ts,open,high,low,close", *rows, ""]), encoding="utf-8")


def run(folder: Path) -> float:
    """Seconds of one run up to `ticks`."""
    with open_workspace(folder) as workspace:
        started = time.perf_counter()
        report = session.perform(workspace, Request(targets=TARGET))
    assert report.status == "COMPLETED", report.error
    return time.perf_counter() - started


def size(folder: Path) -> int:
    """Bytes of the database, its log folded in."""
    with open_workspace(folder) as workspace, engine.alone(workspace.database.project) as conn:
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / ".tidemill" / "state.sqlite").stat().st_size


def more_days(folder: Path, days: int) -> Iterator[float]:
    """Seconds of runs with one more day each."""
    while True:
        days += 1
        write(folder, days)
        yield run(folder)


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": SOURCES})
    return time.perf_counter() - started


def nothing_to_do(folder: Path) -> float:
    """A run with nothing to do, in times of importing SQLAlchemy."""
    nothing = [sys.executable, "-m", "agent.orchestrator", "--mode", "once", "--target", *TARGET]
    baseline = [sys.executable, "-c", "import sqlalchemy"]
    return statistics.median(seconds(nothing, folder) / seconds(baseline, folder) for _ in range(2 * ROUNDS))


def one_more_day(folder: Path, days: int) -> tuple[float, float, float]:
    """Median seconds of a run with one more day, kB that the database grows by, and `nothing_to_do`."""
    project(folder, days)
    run(folder)
    runs = more_days(folder, days)
    next(runs)
    before = size(folder)
    found = statistics.median(next(runs) for _ in range(ROUNDS))
    return found, (size(folder) - before) / ROUNDS / 1000, nothing_to_do(folder)


@contextmanager
def longest_lock() -> Iterator[Callable[[], float]]:
    """The longest that a writing transaction took within the block."""
    longest = [0.0]
    writing = engine.writing

    @contextmanager
    def timed(of: object) -> Iterator[object]:
        started = time.perf_counter()
        with writing(of) as conn:  # type: ignore[arg-type]
            yield conn
        longest[0] = max(longest[0], time.perf_counter() - started)

    engine.writing = timed  # type: ignore[assignment]
    try:
        yield lambda: longest[0]
    finally:
        engine.writing = writing


def many_runs(folder: Path, days: int, count: int) -> None:
    """`count` runs of one more day each, then gc of all that they replaced."""
    project(folder, days)
    run(folder)
    before = size(folder)
    runs = more_days(folder, days)
    took = [next(runs) for _ in range(count)]
    tenth, last = statistics.median(took[5:15]), statistics.median(took[-10:])
    after = size(folder)
    print(f"{count} runs of one more day on {days} partitions:")
    print(f"  database           {after / 1e6:7.1f} MB, was {before / 1e6:.1f}   (limit 60 MB after 1 000)")
    print(f"  the last run       {last / tenth:7.2f} x the tenth   (limit 1.3), {last:.2f} s")
    with open_workspace(folder) as workspace, longest_lock() as longest:
        started = time.perf_counter()
        taken = gc.collect(
            workspace.settings,
            workspace.database,
            workspace.releasing,
            keep_releases=1,
            keep_days=0,
            now=datetime.now(UTC) + timedelta(days=1),
        )
        print(f"  gc of {taken.snapshots} snapshots  {time.perf_counter() - started:.2f} s   (limit 5 s)")
        print(f"  its longest lock   {longest():7.2f} s   (limit 1 s)")


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="runs of one more day on 3 650 partitions")
    parser.add_argument("--partitions", type=int, default=10_000)
    options = parser.parse_args()
    os.environ.pop("AGENT_DATABASE_URL", None)
    with tempfile.TemporaryDirectory() as name:
        few, _, _ = one_more_day(Path(name, "few"), 10)
        many, grows, nothing = one_more_day(Path(name, "many"), options.partitions)
        print(f"one more day, 10 partitions     {few:7.2f} s")
        print(
            f"one more day, {options.partitions:6d}           {many:7.2f} s, {many - few:.2f} s longer   (limit 0.5 s)"
        )
        print(f"the database grows by           {grows:7.0f} kB   (limit 50 kB)")
        print(f"nothing to do                   {nothing:7.2f} x import sqlalchemy   (limit 1.7)")
        if options.runs:
            many_runs(Path(name, "runs"), 3650, options.runs)


if __name__ == "__main__":
    main()
