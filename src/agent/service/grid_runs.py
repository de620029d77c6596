"""The cells of a grid in the run queue: put in within a budget, worked off here and by every worker there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from agent import identity
from agent.clock import SystemClock
from agent.core.try_grid import Cell, to_compute
from agent.execution.session import NOTHING
from agent.execution.tries.grids import load_cells
from agent.service import queue
from agent.service.carry_out import carry_out
from agent.service.goals import Intent
from agent.service.projects import DEFAULT_PROJECT
from agent.settings import Settings
from agent.store.control import runs
from agent.store.database.engine import Database
from agent.store.outputs import tries
from agent.store.outputs.tries import Try
from pipelines.lake import Lake

_LOOK_SECONDS = 0.5
_OPEN = ("QUEUED", "RUNNING")
OUT_OF_TIME = "the grid's minutes are over"


def work_off(
    settings: Settings,
    database: Database,
    grid: str,
    *,
    most: int | None,
    seconds: float | None,
    stop: Callable[[], str | None],
    on_end: Callable[[Cell, int], None] = lambda cell, left: None,
) -> list[Cell]:
    """Compute the cells of a grid that are not done, at most `most` new ones and none begun after `seconds`; returns
    all of them at the end. Waits for those that other workers carry out. `on_end`: a cell carried out here, and how
    many are left.

    What is queued when time is over, or `stop` gives a reason, is taken out again.
    """
    until = None if seconds is None else time.monotonic() + seconds
    own = _enqueue(settings, database, grid, most)
    while own:
        _close_dead(database)
        reason = stop() or (OUT_OF_TIME if until is not None and time.monotonic() >= until else None)
        if reason is not None:
            _take_out(database, own, reason)
        run_id = None if reason is not None else _claimed(settings, database, own)
        if run_id is not None:
            with database.reading() as connections:
                run = runs.load_run(connections.control, run_id)
            carry_out(settings, database, run, manual=True, stop=stop, around=NOTHING)
        left = _left(database, own)
        if run_id is not None:
            on_end(_cell_of(_cells(settings, database, grid), own[run_id]), len(left))
        elif left:
            time.sleep(_LOOK_SECONDS)
        own = {number: name for number, name in own.items() if number in left}
    return _cells(settings, database, grid)


def _enqueue(settings: Settings, database: Database, grid: str, most: int | None) -> dict[int, str]:
    """Queue what is to be computed; the runs of the grid that are open, by their number -> name of the cell."""
    _close_dead(database)
    cells = {cell.name: cell for cell in _cells(settings, database, grid)}
    with database.reading() as connections:
        known: Sequence[Try] = tries.of_grid(connections.project, grid)
        found = {
            run.id: one.name
            for one in known
            for run in runs.list_runs(connections.control, runs.Wanted(_OPEN, DEFAULT_PROJECT, try_id=one.id), limit=1)
        }
    wanted = {cell.name for cell in to_compute(list(cells.values()), most)}
    for one in known:
        if one.name in wanted:
            intent = Intent(tuple(one.targets), (), f"try {one.name}")
            now = SystemClock().now()
            run, _ = queue.enqueue(
                database,
                project_id=DEFAULT_PROJECT,
                goal=f"try {one.name}",
                intent=intent,
                trigger="try",
                try_id=one.id,
                now=now,
            )
            found[run.id] = one.name
    return found


def _claimed(settings: Settings, database: Database, own: dict[int, str]) -> int | None:
    """The first of them that no worker has taken yet, ours from now on."""
    for run_id in sorted(own):
        with database.writing() as connections:
            if runs.claim_run(connections.control, run_id, identity.own(), settings.executor.lease_seconds):
                return run_id
    return None


def _take_out(database: Database, own: dict[int, str], reason: str) -> None:
    for run_id in own:
        with database.writing() as connections:
            runs.move_run(connections.control, run_id, "CANCELLED", from_statuses=("QUEUED",), error=reason)


def _left(database: Database, own: dict[int, str]) -> set[int]:
    with database.reading() as connections:
        return {number for number in own if runs.load_run(connections.control, number).status not in runs.FINAL}


def _close_dead(database: Database) -> None:
    with database.writing() as connections:
        runs.abandon_runs(connections.control, SystemClock().now(), only=runs.of_tries(DEFAULT_PROJECT))


def _cells(settings: Settings, database: Database, grid: str) -> list[Cell]:
    with database.reading() as connections:
        return load_cells(connections, Lake(settings.lake_path), grid)


def _cell_of(cells: Sequence[Cell], name: str) -> Cell:
    return next(cell for cell in cells if cell.name == name)
