"""What crosses to the process that computes and back is what changed, and comes out as it went in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.execution.host import wire
from agent.execution.host.difference import Shelf, applied, difference
from agent.execution.host.interface import Done, Task
from pipelines.snapshot import Partition, Snapshot

AT = datetime(2013, 1, 1, 9, 30, 0, 5, tzinfo=UTC)
partitions = st.builds(
    Partition,
    key=st.sampled_from(["bars/2012", "bars/2013", "model", ".memo"]),
    path=st.sampled_from(["a", "b"]),
    rows=st.integers(0, 3),
    content_hash=st.sampled_from(["c", "d"]),
    file_hash=st.just("f"),
    file_size=st.just(2**40),
    file_mtime_ns=st.just(1_790_000_000_123_456_789),
    min_ts=st.sampled_from([None, AT]),
    max_ts=st.sampled_from([None, AT]),
    column_hashes=st.dictionaries(st.sampled_from(["price", "$", "v"]), st.sampled_from(["h", "i"])),
)
snapshots = st.lists(partitions, unique_by=lambda one: one.key).map(lambda parts: Snapshot("features", tuple(parts)))


@given(snapshots, snapshots)
def test_the_difference_makes_the_one_of_the_other(old: Snapshot, new: Snapshot) -> None:
    change = difference(old, new)
    assert applied(old, change) == new
    assert {one.key for one in change.brought.partitions} == {
        one.key for one in new.partitions if old.by_key.get(one.key) != one
    }


@given(snapshots, snapshots, snapshots, st.booleans())
def test_a_task_and_its_answer_arrive_as_they_were(
    old: Snapshot, before: Snapshot, now: Snapshot, carries: bool
) -> None:
    here, there = Shelf(), Shelf()
    task = Task("features", {"ticks": now}, old if carries else None, {"ticks": before}, frozenset({"x"}), "t7")
    arrived = there.restored(crossed(here.condensed(task)))
    assert arrived == task
    done = Done(now, peak_memory_bytes=5)
    answer = crossed(there.condensed_answer(done, arrived))
    assert here.restored_answer(answer, task) == done


@given(st.lists(st.tuples(snapshots, snapshots, snapshots, st.sampled_from(["well", "failed", "given up"]))))
def test_many_tasks_in_a_row_arrive_as_they_were(run: list[tuple[Snapshot, Snapshot, Snapshot, str]]) -> None:
    here, there = Shelf(), Shelf()
    for number, (old, now, made, how) in enumerate(run):
        task = Task("features", {"ticks": of("ticks", now)}, old if number % 3 else None, {}, frozenset(), "t7")
        arrived = there.restored(crossed(here.condensed(task)))
        assert arrived == task
        answer = there.condensed_answer(Done(made), arrived)
        if how == "well":
            assert here.restored_answer(crossed(answer), task) == Done(made)
        else:
            here.clear()


def of(component: str, snapshot: Snapshot) -> Snapshot:
    return Snapshot(component, snapshot.partitions)


def crossed(value: Any) -> Any:
    return wire.decode(wire.encode(value))


def one(day: int) -> Partition:
    return Partition(f"bars/{day:04d}", f"ticks/{day}", 1, "c" * 32, "f" * 32, 100, 5, AT, AT, {"price": "h" * 32})


def test_an_answer_carries_what_changed_and_no_more() -> None:
    here, there = Shelf(), Shelf()
    many = Snapshot("ticks", tuple(map(one, range(1000))))
    task = Task("ticks", {}, many, {}, frozenset(), "t1")
    more = Snapshot("ticks", (*many.partitions, one(1000)))
    sent = wire.encode(there.condensed_answer(Done(more), there.restored(crossed(here.condensed(task)))))
    assert len(sent) < 1000
    found = here.restored_answer(wire.decode(sent), task).snapshot
    assert found == more
    assert all(found.by_key[key] is part for key, part in many.by_key.items())  # compared at no cost


def test_a_snapshot_crosses_once_in_a_run() -> None:
    here, there = Shelf(), Shelf()
    many = Snapshot("ticks", tuple(map(one, range(1000))))
    task = Task("ticks", {}, many, {}, frozenset(), "t1")
    more = Snapshot("ticks", (*many.partitions, one(1000)))
    done = crossed(there.condensed_answer(Done(more), there.restored(crossed(here.condensed(task)))))
    next_task = Task(
        "features", {"ticks": here.restored_answer(done, task).snapshot}, None, {"ticks": many}, frozenset(), "t2"
    )
    sent = wire.encode(here.condensed(next_task))
    assert len(sent) < 1000
    assert there.restored(wire.decode(sent)) == next_task
