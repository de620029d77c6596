"""Snapshots share rows of partitions: each comes back as it was, whatever its history; a save costs the change."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from agent.core.model import InputRecord
from agent.store.database import migrations
from agent.store.database.engine import reading, writing
from agent.store.outputs import catalog, garbage
from pipelines.snapshot import Partition, Snapshot
from tests.integration.store.conftest import NOW

KEYS = tuple(f"k{number}" for number in range(8))


def partition(component: str, key: str, attempt: int) -> Partition:
    return Partition(
        key=key,
        path=f"{component}/{key}.c{attempt}.t{attempt}.parquet",
        rows=1,
        content_hash=f"c{attempt}",
        file_hash=f"f{attempt}",
        file_size=attempt,
        file_mtime_ns=attempt,
        min_ts=NOW,
        max_ts=NOW + timedelta(days=attempt),
        column_hashes={"price": f"p{attempt}"},
    )


def history(seed: int, length: int) -> list[Snapshot]:
    """Outputs of two components in the order of their attempts: keys come, change, go, and come back as they were."""
    draw = random.Random(seed)
    newest: dict[str, dict[str, Partition]] = {"ticks": {}, "features": {}}
    gone: list[tuple[str, Partition]] = []
    found = []
    for attempt in range(1, length + 1):
        component = draw.choice(("ticks", "features"))
        parts = dict(newest[component])
        for key in draw.sample(KEYS, draw.choice((0, 1, 1, 2, len(KEYS)))):
            if key in parts and draw.random() < 0.3:
                gone.append((component, parts.pop(key)))
            else:
                parts[key] = partition(component, key, attempt)
        back = [one for name, one in gone if name == component and one.key not in parts]
        if back and draw.random() < 0.2:
            one = draw.choice(back)
            parts[one.key] = one
        newest[component] = parts
        found.append(Snapshot(component, tuple(parts.values())))
    return found


def save(conn: sa.Connection, snapshot: Snapshot, known: tuple[int, Snapshot] | None = None) -> int:
    return catalog.save_snapshot(
        conn,
        snapshot,
        attempt_id=None,
        token=1,
        inputs={"x": InputRecord(1, "v", "r")},
        code_version="c",
        settings_hash="s",
        settings={},
        now=NOW,
        known=known,
    )


def rows(conn: sa.Connection) -> list[Any]:
    return list(conn.execute(sa.text("SELECT component, key, first_snapshot, replaced_by, path FROM partitions")))


@pytest.mark.parametrize("seed", range(6))
def test_any_history_comes_back_and_survives_gc(engine: sa.Engine, seed: int) -> None:
    draw = random.Random(seed)
    newest: dict[str, tuple[int, Snapshot]] = {}
    with writing(engine) as conn:
        saved: dict[int, Snapshot] = {}
        for snapshot in history(seed, 40):
            # What the writer knows is mostly the newest one; it may be an older one, or nothing.
            known = draw.choice([newest.get(snapshot.component), *list(newest.values())[:1], None])
            known = known if known is not None and known[1].component == snapshot.component else None
            count = len(rows(conn))
            before = newest[snapshot.component][1].by_key if snapshot.component in newest else {}
            snapshot_id = save(conn, snapshot, known)
            assert len(rows(conn)) - count == sum(before.get(one.key) != one for one in snapshot.partitions)
            newest[snapshot.component] = snapshot_id, snapshot
            saved[snapshot_id] = snapshot
        assert catalog.load_snapshots(conn, saved) == saved
        for snapshot_id, snapshot in saved.items():
            files = catalog.file_facts(conn, [snapshot_id])[snapshot_id]
            stamps = {one.path: f"{one.size} {one.mtime_ns}" for one in files}
            assert catalog.file_stamps(conn, [snapshot_id])[snapshot_id] == stamps
            assert [one.path for one in files] == [one.path for one in snapshot.partitions]
        assert [*catalog.file_stamps(conn, saved)] == [*saved]
        doomed = garbage.Collectable((), tuple(one for one in saved if draw.random() < 0.6))
        kept = {one: snapshot for one, snapshot in saved.items() if one not in doomed.snapshots}
        paths = {one.path for snapshot in kept.values() for one in snapshot.partitions}
        assert garbage.paths_without(conn, doomed) == paths
        garbage.remove(conn, doomed)
        assert catalog.load_snapshots(conn, saved) == kept
        assert catalog.referenced_paths(conn) == garbage.paths_without(conn, garbage.Collectable((), ())) == paths
        assert {fact.path for _, fact in catalog.every_file(conn)} == paths


def test_a_writer_that_knows_an_older_snapshot_takes_nothing_from_it(engine: sa.Engine) -> None:
    first, second, third = (
        Snapshot("ticks", tuple(partition("ticks", key, number) for key in KEYS)) for number in (1, 2, 3)
    )
    with writing(engine) as conn:
        old = save(conn, first), first
        save(conn, second, old)
        assert catalog.load_snapshot(conn, save(conn, third, old)) == third


_OLD = sa.table(
    "partitions",
    *(sa.column(name) for name in ("snapshot_id", "key", "path", "rows", "content_hash", "file_hash", "file_size")),
    sa.column("file_mtime_ns"),
    sa.column("column_hashes", sa.JSON),
)
_SNAPSHOT = (
    "INSERT INTO snapshots (id, component, version, rows, token, input_versions, code_version, settings_hash, settings,"
    " created_at) VALUES (:id, :component, 'v', 1, 1, '{}', 'c', 's', '{}', '2026-01-01 00:00:00')"
)


def test_a_history_of_500_runs_is_carried_over_and_back(engine: sa.Engine) -> None:
    runs = dict(enumerate(history(7, 500), start=1))
    old = [
        {
            "snapshot_id": number,
            **{name: getattr(one, name) for name in (*_OLD.c.keys()[1:-1], "column_hashes")},
        }
        for number, snapshot in runs.items()
        for one in snapshot.partitions
    ]
    every = sa.text("SELECT snapshot_id, key, path, file_mtime_ns FROM partitions ORDER BY snapshot_id, key")
    migrations.downgrade(engine, "0006")
    with writing(engine) as conn:
        conn.execute(sa.text(_SNAPSHOT), [{"id": number, "component": one.component} for number, one in runs.items()])
        conn.execute(sa.insert(_OLD), old)
        before = conn.execute(every).all()
    migrations.upgrade(engine)
    with reading(engine) as conn:
        found = catalog.load_snapshots(conn, runs)
        count = len(rows(conn))
    assert {number: _shape(one) for number, one in found.items()} == {
        number: _shape(one) for number, one in runs.items()
    }
    of_component = {name: [one for one in runs.values() if one.component == name] for name in ("ticks", "features")}
    assert count == sum(
        before_that.by_key.get(one.key) != one
        for ones in of_component.values()
        for before_that, now in pairwise([Snapshot("", ()), *ones])
        for one in now.partitions
    )
    migrations.downgrade(engine, "0006")
    with reading(engine) as conn:
        assert conn.execute(every).all() == before
    migrations.upgrade(engine)
    with reading(engine) as conn:
        assert len(rows(conn)) == count


def _shape(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return [(one.key, one.path, one.content_hash, one.file_mtime_ns, one.column_hashes) for one in snapshot.partitions]
