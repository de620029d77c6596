"""Two snapshots as one and what makes the other of it, so that a task and its answer carry what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.execution.host.interface import Done, Task
from pipelines.snapshot import Partition, Snapshot


@dataclass(frozen=True)
class Difference:
    """What makes one snapshot of another: keys that it has not, and its partitions that are new or other ones."""

    component: str
    gone: tuple[str, ...]
    brought: Snapshot


def difference(old: Snapshot, new: Snapshot) -> Difference:
    """What makes `new` of `old`."""
    before, after = old.by_key, new.by_key
    brought = [one for one in new.partitions if not _is_same(before.get(one.key), one)]
    gone = tuple([key for key in before if key not in after])
    return Difference(new.component, gone, Snapshot(new.component, tuple(brought)))


def applied(old: Snapshot, change: Difference) -> Snapshot:
    """`new` of `difference(old, new)`, with the very partitions of `old` where they are the same."""
    if not change.gone and not change.brought.partitions and old.component == change.component:
        return old
    parts = {**old.by_key, **change.brought.by_key}
    for key in change.gone:
        del parts[key]
    return Snapshot(change.component, tuple(parts.values()))


def condensed(task: Task) -> Task:
    """The task as it is sent: what an input was is told by what it is now."""
    return replace(task, previous_inputs=_each(task.previous_inputs, task.inputs, difference))


def restored(task: Task) -> Task:
    """What was `condensed`."""
    return replace(task, previous_inputs=_each(task.previous_inputs, task.inputs, applied))


def condensed_answer(done: Done, task: Task) -> Done:
    """The answer as it is sent: what came out is told by what there was before (a Difference, on its way alone)."""
    if task.previous is None:
        return done
    return replace(done, snapshot=difference(task.previous, done.snapshot))  # type: ignore[arg-type]


def restored_answer(done: Done, task: Task) -> Done:
    """What was `condensed_answer` to."""
    if not isinstance(done.snapshot, Difference):
        return done
    assert task.previous is not None
    return replace(done, snapshot=applied(task.previous, done.snapshot))


def _each(those: Mapping[str, Any], inputs: Mapping[str, Snapshot], make: Any) -> Mapping[str, Any]:
    return {name: make(inputs[name], one) for name, one in those.items()}


def _is_same(one: Partition | None, other: Partition) -> bool:
    return one is other or one == other
