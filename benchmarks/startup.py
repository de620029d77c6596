"""A run with nothing to do, against importing SQLAlchemy alone in the same environment. Prints the ratio (limit: 1.7).

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
LIMIT = 1.7
SOURCES = str(Path(__file__).resolve().parent.parent / "src")


def seconds(command: list[str], folder: str) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": SOURCES})
    return time.perf_counter() - started


def main() -> None:
    """Alternate the two, so that a busy machine slows both alike, and compare the medians."""
    nothing = [sys.executable, "-m", "agent.orchestrator", "--mode", "once"]
    baseline = [sys.executable, "-c", "import sqlalchemy"]
    with tempfile.TemporaryDirectory() as folder:
        seconds(nothing, folder)  # the first run computes everything
        pairs = [(seconds(baseline, folder), seconds(nothing, folder)) for _ in range(ROUNDS)]
    ours = statistics.median(run for _, run in pairs)
    theirs = statistics.median(base for base, _ in pairs)
    ratio = statistics.median(run / base for base, run in pairs)
    print(f"import sqlalchemy      {theirs * 1000:7.1f} ms")
    print(f"a run with no work     {ours * 1000:7.1f} ms")
    print(f"ratio                  {ratio:7.2f}    (limit {LIMIT})")


if __name__ == "__main__":
    main()
