"""Two snapshots as one and what makes the other of it, so that a task and its answer carry what changed since the last
one that crossed: within a run a snapshot crosses once, whichever components read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from agent.execution.host.interface import Done, Question, Task
from pipelines.snapshot import Partition, Snapshot
from pipelines.values import dataclass

Asked = TypeVar("Asked", Task, Question)


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


class Shelf:
    """The snapshots that both sides of a pipe have: of each component the one that crossed last. Both see the same
    requests and answers. Who asks forgets everything (`clear`) after one that failed or was given up, since whole
    snapshots are always understood; who answers never does."""

    def __init__(self) -> None:
        self._last: dict[str, Snapshot] = {}

    def clear(self) -> None:
        """Begin again: the next request carries its snapshots whole."""
        self._last.clear()

    def condensed(self, asked: Asked) -> Asked:
        """A request as it is sent: each snapshot by the one of its component that crossed last, and what an input was
        by what it is now."""
        inputs = {name: self._told(one) for name, one in asked.inputs.items()}
        known: Snapshot | None = asked.previous  # a question has one, a task may have one
        previous = None if known is None else self._told(known)
        before = {name: difference(asked.inputs[name], one) for name, one in asked.previous_inputs.items()}
        return replace(asked, inputs=inputs, previous=previous, previous_inputs=before)  # type: ignore[arg-type]

    def restored(self, sent: Asked) -> Asked:
        """What was `condensed`."""
        inputs = {name: self._heard(one) for name, one in sent.inputs.items()}
        told: Snapshot | Difference | None = sent.previous
        previous = None if told is None else self._heard(told)
        before = {name: applied(inputs[name], one) for name, one in sent.previous_inputs.items()}  # type: ignore[arg-type]
        return replace(sent, inputs=inputs, previous=previous, previous_inputs=before)  # type: ignore[arg-type]

    def condensed_answer(self, done: Done, task: Task) -> Done:
        """An answer as it is sent: what came out, by what there was before."""
        self._last[done.snapshot.component] = done.snapshot
        if task.previous is None:
            return done
        return replace(done, snapshot=difference(task.previous, done.snapshot))  # type: ignore[arg-type]

    def restored_answer(self, sent: Done, task: Task) -> Done:
        """What was `condensed_answer` to."""
        found = sent.snapshot
        if isinstance(found, Difference):
            assert task.previous is not None
            found = applied(task.previous, found)
        self._last[found.component] = found
        return replace(sent, snapshot=found)

    def _told(self, one: Snapshot) -> Snapshot | Difference:
        last, self._last[one.component] = self._last.get(one.component), one
        return one if last is None else difference(last, one)

    def _heard(self, one: Snapshot | Difference) -> Snapshot:
        found = one if isinstance(one, Snapshot) else applied(self._last[one.component], one)
        self._last[found.component] = found
        return found


def _is_same(one: Partition | None, other: Partition) -> bool:
    return one is other or one == other
