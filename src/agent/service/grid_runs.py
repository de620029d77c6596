"""The cells of a grid in the run queue: put in within a budget, worked off here and by every worker there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from agent import identity
from agent.clock import SystemClock
from agent.core.try_grid import Cell, to_compute
from agent.execution.session import NOTHING
from agent.execution.tries.grids import load_cells, newest_run
from agent.service import queue
from agent.service.carry_out import carry_out
from agent.service.goals import Intent
from agent.service.projects import DEFAULT_PROJECT
from agent.settings import Settings
from agent.store.control import runs
from agent.store.control.runs import Run
from agent.store.database.engine import Database
from agent.store.outputs import tries
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
    on_end: Callable[[str, Run, int], None] = lambda name, run, left: None,
) -> list[Cell]:
    """Compute the cells of a grid that are not done, at most `most` new ones and none begun after `seconds`; returns
    all of them at the end. Waits for those that other workers carry out. `on_end`: name of a cell carried out here, its
    run, and how many are left.

    What is queued when time is over, or `stop` gives a reason, is taken out again.
    """
    until = None if seconds is None else time.monotonic() + seconds
    own = _enqueue(database, grid, most)
    while own:
        _close_dead(database)
        reason = stop() or (OUT_OF_TIME if until is not None and time.monotonic() >= until else None)
        if reason is not None:
            _take_out(database, own, reason)
        run = None if reason is not None else _claimed(settings, database, own)
        ended = None if run is None else carry_out(settings, database, run, manual=True, stop=stop, around=NOTHING)
        left = _left(database, own)
        if ended is not None:
            on_end(own[ended.id], ended, len(left))
        elif left:
            time.sleep(_LOOK_SECONDS)
        own = {number: name for number, name in own.items() if number in left}
    with database.reading() as connections:
        return load_cells(connections, Lake(settings.lake_path), grid)


def _enqueue(database: Database, grid: str, most: int | None) -> dict[int, str]:
    """Queue what is to be computed; the runs of the grid that are open, by their number -> name of the cell."""
    _close_dead(database)
    with database.reading() as connections:
        known = {one.name: one for one in tries.of_grid(connections.project, grid)}
        newest = {name: newest_run(connections, one) for name, one in known.items()}
    cells = [Cell(name, {}, None if run is None else run.status) for name, run in newest.items()]
    found = {run.id: name for name, run in newest.items() if run is not None and run.status in _OPEN}
    for cell in to_compute(cells, most):
        one, goal = known[cell.name], f"try {cell.name}"
        run, _ = queue.enqueue(
            database,
            project_id=DEFAULT_PROJECT,
            goal=goal,
            intent=Intent(tuple(one.targets), (), goal),
            trigger="try",
            try_id=one.id,
            now=SystemClock().now(),
        )
        found[run.id] = one.name
    return found


def _claimed(settings: Settings, database: Database, own: Iterable[int]) -> Run | None:
    """The first of them that no worker has taken yet, ours from now on."""
    with database.writing() as connections:
        for run_id in sorted(own):
            if runs.claim_run(connections.control, run_id, identity.own(), settings.executor.lease_seconds):
                return runs.load_run(connections.control, run_id)
    return None


def _take_out(database: Database, own: Iterable[int], reason: str) -> None:
    with database.writing() as connections:
        for run_id in own:
            runs.move_run(connections.control, run_id, "CANCELLED", from_statuses=("QUEUED",), error=reason)


def _left(database: Database, own: Iterable[int]) -> set[int]:
    with database.reading() as connections:
        return {number for number in own if runs.load_run(connections.control, number).status not in runs.FINAL}


def _close_dead(database: Database) -> None:
    with database.writing() as connections:
        runs.abandon_runs(connections.control, SystemClock().now(), only=runs.of_tries(DEFAULT_PROJECT))
