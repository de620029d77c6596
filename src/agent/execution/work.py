"""One attempt's computation as a value in, a value out: the same here and in a child process. Knows no SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.component import Component, Outcome, Pending, perform, view_inputs
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.source import Source

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Task:
    """Everything an attempt needs. `previous` None means recompute in full."""

    component: str
    settings: Any
    inputs: Mapping[str, Snapshot]
    previous: Snapshot | None
    previous_inputs: Mapping[str, Snapshot]
    redo: frozenset[str]
    attempt: str
    pending: tuple[Pending, ...] = ()


@dataclass(frozen=True)
class Done:
    """What came of it: the output, the rows that SQL tables show of it, outcomes found, memory used."""

    snapshot: Snapshot
    tables: Mapping[str, Any] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    peak_memory_bytes: int | None = None


def work(
    task: Task,
    component: Component,
    sources: Mapping[str, Source],
    *,
    base: Path,
    lake_path: Path,
    on_progress: Progress,
) -> Done:
    """Compute the attempt; relative paths in settings start from `base`. Raises whatever the component raises."""
    lake = Lake(lake_path)
    snapshot = perform(
        component,
        task.settings,
        task.inputs,
        lake=lake,
        attempt=task.attempt,
        previous=task.previous,
        previous_inputs=task.previous_inputs,
        redo=task.redo,
        sources=sources if component.reads_sources else {},
        on_progress=on_progress,
        base=base,
    )
    outcomes: tuple[Outcome, ...] = ()
    if component.settle is not None and task.pending:
        views = view_inputs(component, task.inputs, task.previous_inputs, lake)
        outcomes = tuple(component.settle(views, task.pending))
    return Done(snapshot, _tables(component, snapshot, lake), outcomes)


def _tables(component: Component, snapshot: Snapshot, lake: Lake) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for key, table in component.projections.items():
        partition = snapshot.by_key.get(key)
        if partition is None:
            continue
        if partition.column_hashes:
            tables[table] = lake.read_table(partition).to_dicts()
        else:
            tables[table] = json.loads(lake.read_bytes(partition))
    return tables
