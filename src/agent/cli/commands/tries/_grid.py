"""`agent try --grid`: the cells worked off within a budget, and their table."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.cli.output import emit
from agent.console import table
from agent.core.try_grid import Cell, read_axes, table_of
from agent.errors import UsageError
from agent.execution.tries import change, grids
from agent.execution.tries.code import TryCode
from agent.execution.workspace import open_database, read_settings
from agent.runtime.signals import stop_on_signals
from agent.service import grid_runs
from agent.store.control.runs import Run

# What fits a terminal; --json and the page have all figures.
_FIGURES = ("Brier score", "total return of the backtest", "Sharpe ratio", "largest drawdown", "trades")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    grid = "SECTION.KEY=VALUE,VALUE,…: a try for each combination; may be repeated"
    parser.add_argument("--grid", action="append", default=[], metavar="AXIS", help=grid)
    parser.add_argument("--max-runs", type=int, metavar="N", help="of a grid: compute at most N cells now")
    parser.add_argument("--max-minutes", type=float, metavar="M", help="of a grid: begin no cell after M minutes")


def perform(options: argparse.Namespace, settings: Mapping[str, Any], code: TryCode | None) -> int:
    """Compute what is left of a grid. The same command goes on with it."""
    if options.max_runs is not None and options.max_runs < 1:
        raise UsageError("that computes no cell", where="--max-runs", fix="allow at least 1")
    if options.max_minutes is not None and not 0 < options.max_minutes < math.inf:
        raise UsageError(
            f"{options.max_minutes:g} is no time to compute in", where="--max-minutes", fix="allow some minutes"
        )
    axes = read_axes(options.grid, change.flat(change.read(options.set)))
    base = (options.project_dir or Path.cwd()).resolve()
    name = change.require_name(options.name or grids.name_of(axes))
    grids.begin(base, name, axes, settings, tuple(options.target), code)
    project, _ = read_settings(base)
    seconds = None if options.max_minutes is None else options.max_minutes * 60
    with open_database(project) as database, stop_on_signals() as stop:
        cells = grid_runs.work_off(
            project, database, name, most=options.max_runs, seconds=seconds, stop=stop, on_end=_tell
        )
    show(options, name, cells)
    return 1 if any(cell.status == "FAILED" for cell in cells) else 0


def show(options: argparse.Namespace, name: str, cells: list[Cell]) -> None:
    """The table of a grid, and how much of it is left."""
    found = table_of(cells, _FIGURES)
    right = {number for number, column in enumerate(found.columns) if column.is_number}
    left = sum(cell.status != "COMPLETED" for cell in cells)
    more = f"{left} of {len(cells)} cells are left: the same command goes on." if left else "All cells are computed."
    more += f" Cell N is the try {name}.N: `agent diff {name}.1 current` says more."
    text = table([[cell for cell, _ in row] for row in found.rows], [one.name for one in found.columns], right)
    emit(options, {"grid": name, "left": left, "cells": cells}, f"{text}\n{more}")


def _tell(name: str, run: Run, left: int) -> None:
    why = f" ({run.error})" if run.error else ""
    sys.stderr.write(f"{name}: {run.status.lower()}{why}, {left} left\n")
