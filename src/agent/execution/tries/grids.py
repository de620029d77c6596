"""Grids of tries: all cells begin from one state of production, and each is a try like any other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agent.clock import SystemClock
from agent.core.graph import order
from agent.core.try_grid import Axis, Cell, cells_of
from agent.errors import Conflict, NotFound
from agent.execution.tries import change
from agent.execution.tries.code import TryCode, on_search_path
from agent.execution.tries.comparing import metrics_of
from agent.execution.workspace import open_workspace
from agent.settings import section_names
from agent.store.control import runs
from agent.store.control.runs import Run
from agent.store.database.engine import Connections
from agent.store.outputs import tries
from agent.store.outputs.tries import Try
from pipelines.lake import Lake


def begin(
    base: Path,
    name: str,
    axes: Sequence[Axis],
    settings: Mapping[str, Any],
    targets: Sequence[str] = (),
    code: TryCode | None = None,
) -> list[Try]:
    """The tries of grid `name`: new ones, or those that are there. `settings` are those of every cell.

    Raises SettingsError for a value that the project does not understand and UsageError for a name that is too long,
    before anything is written; Conflict where the grid of that name is another one, or a try is called like a cell.
    """
    change.require_own(settings, section_names())
    folder, given, commit = (None, None, None) if code is None else (code.folder, code.given, code.commit)
    with on_search_path(base, code):
        for axis in axes:
            for value in axis.values:
                one = change.over(settings, change.nested({axis.key: value}))
                change.require_own(one, section_names())
                with open_workspace(base, change=partial(change.over, change=one), other_code=folder):
                    pass  # its settings are understood
        with open_workspace(base, other_code=folder) as workspace:
            cells = cells_of(axes, order(workspace.specs))
            wanted = [change.over(settings, change.nested(cell)) for cell in cells]
            with workspace.database.writing() as connections:
                found = tries.of_grid(connections.project, name)
                if not found:
                    now = SystemClock().now()
                    for own, one in zip(_names(connections, name, len(wanted)), wanted, strict=True):
                        made = tries.begin(connections.project, own, one, targets, now, given, grid=name)
                        tries.note_commit(connections.project, made, commit)
                    return tries.of_grid(connections.project, name)
    if [(one.settings, tuple(one.targets), one.code) for one in found] != [
        (one, tuple(targets), given) for one in wanted
    ]:
        raise Conflict(
            f"there is a grid {name!r} already, of other cells",
            where="tries",
            fix=f"choose another --name, or `agent drop {name}`",
        )
    return found


def _names(at: Connections, grid: str, count: int) -> list[str]:
    """Of the cells. Raises UsageError and Conflict where they cannot be called so."""
    names = [f"{grid}.{number}" for number in range(1, count + 1)]
    taken = {one.name for one in tries.every(at.project)} & {grid, *names}
    if taken:
        raise Conflict(
            f"there is a try {min(taken)!r} already", where="tries", fix="choose another --name for the grid"
        )
    return [change.require_name(name) for name in names]


def name_of(axes: Sequence[Axis]) -> str:
    """A name that says what varies; the same for the same axes."""
    parts = [f"{axis.key.rpartition('.')[2]}={','.join(map(str, axis.values))}" for axis in axes]
    return re.sub(r"[^A-Za-z0-9._=,-]+", "_", "-".join(parts)).strip("_.")[:80]


def load_cells(at: Connections, lake: Lake, name: str) -> list[Cell]:
    """The cells of a grid, in their order, with what came of them. Raises NotFound."""
    found = tries.of_grid(at.project, name)
    if not found:
        known = ", ".join(tries.grids(at.project)) or "none yet"
        raise NotFound(f"there is no grid {name!r}", where="tries", fix=f"known are: {known}")
    return [_cell(at, lake, one) for one in found]


def newest_run(at: Connections, one: Try) -> Run | None:
    """The newest run of a try; None where it never had one."""
    found = runs.list_runs(at.control, runs.Wanted(project_id=at.project_id, try_id=one.id), limit=1)
    return found[0] if found else None


def _cell(at: Connections, lake: Lake, one: Try) -> Cell:
    settings, run = change.flat(one.settings), newest_run(at, one)
    if run is None:
        return Cell(one.name, settings)
    cost = tries.cost(at, one)
    metrics = metrics_of(at, lake, one) if run.status == "COMPLETED" else None
    return Cell(one.name, settings, run.status, metrics, cost.seconds, cost.rows, run.error)
