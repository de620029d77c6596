"""What a try costs: a change to the rule or to a fee on a lake of 10 M ticks, and a grid of twelve cells.

    python benchmarks/try.py [--ticks 10000000] [--separate 2]

A change is measured against a run of production that computes the same components by force, directly before it: both in
processor time, planning and opening included, which other work on the machine does not change. Everything is computed
in this process, which has imported all it needs, as a server's or a grid's has: a process of its own imports
scikit-learn first, to read the model (1.2 s of processor time). The grid is measured in wall-clock seconds.

- The rule: `inference.margin`, which decides what is traded as a fee of the backtest would; at most 1.2 times backtest
  and publish alone. The least of three rounds.
- The fee: labels are net of it, so that the model is trained again; at most 1.2 times model to publish alone.
- The grid: at most 0.35 times twelve runs from scratch. Production's first run and `--separate N - 1` others, with the
  settings of some of the cells, are performed; their mean stands for the rest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from agent.core.try_grid import cells_of, read_axes
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.tries import change, grids
from agent.execution.tries.performing import open_try, perform
from agent.execution.workspace import open_database, open_workspace, read_settings
from agent.service import grid_runs
from agent.store.control.runs import Run
from agent.store.tables import attempts

MARKETS, DAYS = 500, 20
CHANGE_LIMIT, GRID_LIMIT = 1.2, 0.35
RULE, AFTER_RULE = "inference.margin=0.0003,0.0004,0.0006", ("backtest", "publish")
FEE, AFTER_FEE = "markets.costs.spot.fee_bps=7", ("model", "inference", "backtest", "publish")
AXES = ("model.horizon_bars=6,8,12", "inference.margin=0,0.0005,0.001,0.002")  # none is production's horizon of 5
# A linear model, which is quick to train: what it costs is not what is measured. Random walks have no skill, so the
# gate of publish is to let a model without any pass.
SETTINGS = """
[executor]
kind = "inline"

[[sources.files.datasets]]
path = "{ticks}/*.parquet"
kind = "spot"
content = "trades"
ts_unit = "ms"

[features]
interval = 900

[model]
kind = "logistic"
max_iter = 20
max_train_bars = 300

[publish]
max_brier_excess = 1.0
"""


def make_ticks(folder: Path, count: int) -> int:
    """Random walks of all markets, a file per day; how many ticks they are."""
    draw = np.random.default_rng(7)
    folder.mkdir()
    a_day = max(1, count // MARKETS // DAYS)
    level = draw.uniform(5, 500, MARKETS)
    names = np.repeat([f"MKT{number:03d}" for number in range(MARKETS)], a_day)
    for day in range(DAYS):
        start = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=day)
        at = np.sort(draw.integers(0, 86_400_000, (MARKETS, a_day)), axis=1)
        price = level[:, None] * np.exp(np.cumsum(draw.normal(0, 4e-4, (MARKETS, a_day)), axis=1))
        level = price[:, -1]
        pl.DataFrame(
            {
                "market": names,
                "ts": (int(start.timestamp() * 1000) + at).ravel(),
                "price": price.ravel().round(4),
                "size": draw.exponential(1, MARKETS * a_day).round(4),
                "id": np.tile(np.arange(a_day), MARKETS) + day * a_day,
            }
        ).write_parquet(folder / f"{start:%Y-%m-%d}.parquet")
    return MARKETS * DAYS * a_day


def from_scratch(folder: Path, ticks: Path, settings: Mapping[str, Any]) -> float:
    """Seconds of a project's first run."""
    folder.mkdir()
    text = change.written(SETTINGS.format(ticks=ticks), settings)
    (folder / "agent.toml").write_text(text, encoding="utf-8")
    begun = time.perf_counter()
    with open_workspace(folder) as workspace:
        report = session.perform(workspace, Request())
    assert report.status == "COMPLETED", report.error
    return time.perf_counter() - begun


def attempted(folder: Path) -> dict[str, float]:
    """Component -> seconds of its attempts so far, of production and tries."""
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        rows = connections.control.execute(
            sa.select(attempts.c.component, sa.func.sum(attempts.c.seconds)).group_by(attempts.c.component)
        )
        return {name: float(seconds or 0.0) for name, seconds in rows}


def listed(seconds: Mapping[str, float]) -> str:
    """As a line, without those that took none."""
    return ", ".join(f"{name} {one:.2f}" for name, one in seconds.items() if one)


def forced(folder: Path, components: tuple[str, ...]) -> None:
    """Compute components in production, whether that is due or not."""
    with open_workspace(folder) as workspace:
        report = session.perform(workspace, Request(force=components))
    assert report.status == "COMPLETED", report.error


def tried(folder: Path, setting: str) -> None:
    """A try of a setting."""
    values = change.read((setting,))
    with open_try(folder, values, change.name_of(values)) as (one, workspace):
        report = perform(workspace, one, stop=lambda: None)
    assert report.status == "COMPLETED", report.error


def timed(folder: Path, work: Callable[[], None]) -> tuple[float, str]:
    """Processor time of `work`, and what its components took by the clock."""
    before, begun = attempted(folder), time.process_time()
    work()
    seconds = time.process_time() - begun
    return seconds, listed({name: one - before.get(name, 0.0) for name, one in attempted(folder).items()})


def changed(folder: Path, axis: str, components: tuple[str, ...]) -> bool:
    """Try each value of a setting, and say what it took; whether the least is within the limit."""
    wanted, found = [], []
    for cell in cells_of(read_axes([axis]), ()):
        setting = next(f"{key}={value}" for key, value in cell.items())
        alone, of_alone = timed(folder, partial(forced, folder, components))
        seconds, of_try = timed(folder, partial(tried, folder, setting))
        wanted.append(alone)
        found.append(seconds)
        print(f"  by force {alone:.2f} s; by the clock {of_alone}")
        print(f"  {setting} {seconds:.2f} s; by the clock {of_try}", flush=True)
    ratio = min(found) / min(wanted)
    print(f"{axis.partition('=')[0]}: ratio {ratio:.2f}   (limit {CHANGE_LIMIT})", flush=True)
    return ratio <= CHANGE_LIMIT


def grid(folder: Path) -> float:
    """Seconds of the whole grid, in one process."""
    begun = time.perf_counter()
    grids.begin(folder, "grid", read_axes(AXES), {})
    settings, _ = read_settings(folder)
    last = begun

    def tell(cell: str, run: Run, left: int) -> None:
        nonlocal last
        now = time.perf_counter()
        print(f"  {cell:<8} {now - last:7.2f} s   {left} left", flush=True)
        last = now

    with open_database(settings) as database:
        cells = grid_runs.work_off(settings, database, "grid", most=None, seconds=None, stop=lambda: None, on_end=tell)
    assert all(cell.status == "COMPLETED" for cell in cells), [cell.error for cell in cells]
    return time.perf_counter() - begun


def main() -> int:
    """Measure, print, and fail beyond a limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ticks", type=int, default=10_000_000)
    parser.add_argument("--separate", type=int, default=2, help="of twelve runs from scratch, perform N")
    options = parser.parse_args()
    os.environ.pop("AGENT_DATABASE_URL", None)
    every = cells_of(read_axes(AXES), ())
    chosen = every[:: max(1, len(every) // max(1, options.separate))][1 : options.separate]
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        count = make_ticks(base / "ticks", options.ticks)
        print(f"{count:,} ticks of {MARKETS} markets made", flush=True)
        first, home = from_scratch(base / "production", base / "ticks", {}), base / "production"
        print(f"production from scratch {first:.1f} s: {listed(attempted(home))}", flush=True)
        kept = [changed(home, RULE, AFTER_RULE), changed(home, FEE, AFTER_FEE)]
        cells = grid(home)
        print(f"{len(every)} cells {cells:.1f} s", flush=True)
        took = [first]
        for number, cell in enumerate(chosen):
            took.append(from_scratch(base / f"separate-{number}", base / "ticks", change.nested(cell)))
            print(f"  from scratch with {cell}: {took[-1]:.1f} s", flush=True)
    whole = statistics.mean(took) * len(every)
    print(f"{len(every)} runs from scratch {whole:.1f} s ({len(took)} measured): ", end="")
    print(f"ratio {cells / whole:.2f}   (limit {GRID_LIMIT})")
    return 0 if all(kept) and cells <= GRID_LIMIT * whole else 1


if __name__ == "__main__":
    sys.exit(main())
