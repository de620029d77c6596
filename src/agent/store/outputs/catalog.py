"""The catalog: which snapshots there are, and which files they consist of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from agent.core.model import InputRecord
from agent.errors import NotFound
from agent.store.database.engine import try_of
from agent.store.records import inputs_from_json, inputs_to_json
from agent.store.state import statements
from agent.store.tables import orchestrator_state, partitions, snapshots
from pipelines.snapshot import HashText, Partition, Snapshot
from pipelines.source import QUARANTINE_KEY
from pipelines.values import dataclass


@dataclass(frozen=True)
class SnapshotRow:
    """A row of snapshots: where a snapshot came from, without its partitions. `token` is that of the lease."""

    id: int
    component: str
    version: str
    rows: int
    watermark: datetime | None
    attempt_id: int | None
    token: int
    inputs: Mapping[str, InputRecord]
    code_version: str
    settings_hash: str
    settings: Mapping[str, Any]
    created_at: datetime
    try_id: int = 0


class FileFacts(NamedTuple):
    """What a partition's file was when it was written. `path` is relative to the lake; `size` in bytes."""

    key: str
    path: str
    size: int
    mtime_ns: int
    file_hash: str


_SAVE = sa.insert(snapshots).returning(snapshots.c.id)  # made once: building one costs more than executing it
_ADD = sa.insert(partitions).inline()
_OF = sa.and_(partitions.c.component == sa.bindparam("of"), partitions.c.try_id == sa.bindparam("of_try"))
_PRESENT = sa.and_(_OF, partitions.c.replaced_by.is_(None))
_REPLACE = sa.update(partitions).where(_PRESENT, partitions.c.key == sa.bindparam("gone"))


def save_snapshot(
    conn: sa.Connection,
    snapshot: Snapshot,
    *,
    attempt_id: int | None,
    token: int,
    inputs: Mapping[str, InputRecord],
    code_version: str,
    settings_hash: str,
    settings: Mapping[str, Any],
    now: datetime,
    known: tuple[int, Snapshot] | None = None,
    newest: int | None = None,
) -> int:
    """Write a snapshot and the partitions that the newest one of its component has not got, and return its id.

    `known`: an earlier one with its id. Where it is the newest, the partitions of that need not be read. `newest`: the
    id of the newest one, where the caller has just asked for it.
    """
    newest = newest or latest_snapshot_id(conn, snapshot.component)
    before = known[1].by_key if known is not None and known[0] == newest else _present(conn, snapshot.component)
    try_id = try_of(conn)
    facts = {
        "component": snapshot.component,
        "try_id": try_id,
        "version": snapshot.version,
        "rows": snapshot.rows,
        "watermark": snapshot.watermark,
        "attempt_id": attempt_id,
        "token": token,
        "input_versions": inputs_to_json(inputs),
        "code_version": code_version,
        "settings_hash": settings_hash,
        "settings": dict(settings),
        "created_at": now,
    }
    snapshot_id: int = conn.execute(_SAVE, facts).scalar_one()
    after = snapshot.by_key
    other = [
        key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)
    ]  # mostly the very same
    new = [after[key] for key in sorted(other) if key in after and before.get(key) != after[key]]
    gone = [key for key in sorted(other) if key in before and before[key] != after.get(key)]
    if gone:
        of = {"of": snapshot.component, "of_try": try_id, "replaced_by": snapshot_id}
        conn.execute(_REPLACE, [{**of, "gone": key} for key in gone])
    if new:
        conn.execute(_ADD, [_partition_row(one, snapshot.component, try_id, snapshot_id) for one in new])
    return snapshot_id


def _partition_row(one: Partition, component: str, try_id: int, first_snapshot: int) -> dict[str, Any]:
    facts = {name: getattr(one, name) for name in _FIELDS}
    facts["column_hashes"] = dict(one.column_hashes)
    return {**facts, "component": component, "try_id": try_id, "first_snapshot": first_snapshot, "replaced_by": None}


# A row of partitions is of the snapshots of one component and one try.
OF_SNAPSHOT = sa.and_(partitions.c.component == snapshots.c.component, partitions.c.try_id == snapshots.c.try_id)


def living_in(snapshot_id: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Condition: a row of partitions of that snapshot's component and try is in it."""
    p = partitions.c
    return sa.and_(p.first_snapshot <= snapshot_id, sa.or_(p.replaced_by.is_(None), p.replaced_by > snapshot_id))


def _of_snapshots(*columns: sa.ColumnElement[Any]) -> sa.CompoundSelect[Any]:
    """`columns` of the partitions of the snapshots `ids`, after the snapshot's id and component.

    In two parts, each of which walks along an index and meets no row of a snapshot before. The first one is an outer
    join, so that a snapshot without partitions is distinguished from none.
    """
    s, p = snapshots.c, partitions.c
    asked = s.id.in_(sa.bindparam("ids", expanding=True))
    first = sa.and_(OF_SNAPSHOT, p.first_snapshot <= s.id)
    what = sa.select(s.id, s.component, *columns).where(asked)
    present = what.join_from(snapshots, partitions, sa.and_(first, p.replaced_by.is_(None)), isouter=True)
    return sa.union_all(present, what.join_from(snapshots, partitions, sa.and_(first, p.replaced_by > s.id)))


_FIELDS = tuple(item.name for item in fields(Partition))
# The hashes of columns as they stand there, for HashText.
_READ = [sa.cast(partitions.c[name], sa.Text) if name == "column_hashes" else partitions.c[name] for name in _FIELDS]
_WITH_PARTITIONS = _of_snapshots(*_READ)
_OF_NEWEST = sa.select(*_READ).where(_PRESENT)


def _partition(facts: Sequence[Any]) -> Partition:
    return Partition(*[*facts[:-1], HashText(facts[-1])])


def _present(conn: sa.Connection, component: str) -> dict[str, Partition]:
    """The partitions of a component that no snapshot has replaced, by key."""
    found = map(_partition, conn.execute(_OF_NEWEST, {"of": component, "of_try": try_of(conn)}))
    return {one.key: one for one in found}


def load_snapshot(conn: sa.Connection, snapshot_id: int) -> Snapshot:
    """A snapshot with its partitions. Raises NotFound."""
    found = load_snapshots(conn, [snapshot_id])
    if not found:
        raise _not_found(snapshot_id)
    return found[snapshot_id]


def load_snapshots(conn: sa.Connection, snapshot_ids: Collection[int]) -> dict[int, Snapshot]:
    """Id -> snapshot with its partitions, of those that there are."""
    names: dict[int, str] = {}
    parts: dict[int, list[Partition]] = {}
    for snapshot_id, component, *facts in conn.execute(_WITH_PARTITIONS, {"ids": list(snapshot_ids)}).all():
        names[snapshot_id] = component
        own = parts.setdefault(snapshot_id, [])
        if facts[0] is not None:
            own.append(_partition(facts))
    return {snapshot_id: Snapshot(names[snapshot_id], tuple(own)) for snapshot_id, own in parts.items()}


def snapshot_row(conn: sa.Connection, snapshot_id: int) -> SnapshotRow:
    """Where a snapshot came from. Raises NotFound."""
    row = conn.execute(sa.select(snapshots).where(snapshots.c.id == snapshot_id)).mappings().one_or_none()
    if row is None:
        raise _not_found(snapshot_id)
    return _row(row)


def snapshot_rows(conn: sa.Connection, snapshot_ids: Collection[int]) -> list[SnapshotRow]:
    """Where snapshots came from, of those that are still there."""
    query = sa.select(snapshots).where(snapshots.c.id.in_(snapshot_ids)).order_by(snapshots.c.id)
    return [_row(row) for row in conn.execute(query).mappings()]


def snapshot_history(conn: sa.Connection, component: str, limit: int) -> list[SnapshotRow]:
    """The newest snapshots of a component, newest first."""
    query = sa.select(snapshots).where(_made(conn, component)).order_by(snapshots.c.id.desc()).limit(limit)
    return [_row(row) for row in conn.execute(query).mappings()]


def makers_of(conn: sa.Connection, snapshot_id: int) -> dict[str, tuple[str, str]]:
    """Component -> (code version, settings hash) of everything that a snapshot was made by, from the sources on."""
    columns = (snapshots.c.component, snapshots.c.code_version, snapshots.c.settings_hash, snapshots.c.input_versions)
    found: dict[str, tuple[str, str]] = {}
    waiting = [snapshot_id]
    while waiting:
        row = conn.execute(sa.select(*columns).where(snapshots.c.id == waiting.pop())).one_or_none()
        if row is not None and row.component not in found:
            found[row.component] = (row.code_version, row.settings_hash)
            waiting += [record.snapshot_id for record in inputs_from_json(row.input_versions).values()]
    return found


def _made(conn: sa.Connection, component: str) -> sa.ColumnElement[bool]:
    """Condition: a snapshot of a component, of production's or of the try's that `conn` is meant for."""
    return sa.and_(snapshots.c.component == component, snapshots.c.try_id == try_of(conn))


def latest_snapshot_id(conn: sa.Connection, component: str) -> int | None:
    """The newest snapshot of a component; None before its first success."""
    newest: int | None = conn.scalar(sa.select(sa.func.max(snapshots.c.id)).where(_made(conn, component)))
    return newest


def find_version(conn: sa.Connection, component: str, version: str) -> int | None:
    """The newest snapshot of a component with this version, or None."""
    here = sa.and_(_made(conn, component), snapshots.c.version == version)
    newest: int | None = conn.scalar(sa.select(sa.func.max(snapshots.c.id)).where(here))
    return newest


def newest_watermark(conn: sa.Connection, components: Collection[str]) -> datetime | None:
    """The newest event time in the present outputs of `components`; of the sources' readers it is the newest tick."""
    of = statements(conn)
    outputs = sa.select(of.table.c.output_snapshot_id).where(of.table.c.component.in_(components), of.kind.within)
    newest: datetime | None = conn.scalar(
        sa.select(sa.func.max(snapshots.c.watermark)).where(snapshots.c.id.in_(outputs))
    )
    return newest


# In the order of FileFacts's fields.
_FACTS = (
    partitions.c.key,
    partitions.c.path,
    partitions.c.file_size,
    partitions.c.file_mtime_ns,
    partitions.c.file_hash,
)
_FILES = _of_snapshots(*_FACTS)


def file_facts(conn: sa.Connection, snapshot_ids: Collection[int]) -> dict[int, list[FileFacts]]:
    """Snapshot -> its files in key order, without the hashes of their columns: cheap enough for every run."""
    found: dict[int, list[FileFacts]] = {snapshot_id: [] for snapshot_id in snapshot_ids}
    for snapshot_id, _, key, path, size, mtime_ns, file_hash in conn.execute(_FILES, {"ids": list(snapshot_ids)}).all():
        if key is not None:
            found[snapshot_id].append(FileFacts(key, path, size, mtime_ns, file_hash))
    for files in found.values():
        files.sort()
    return found


def _stamps_of_snapshots() -> sa.CompoundSelect[Any]:
    """In two parts for the same reason as `_of_snapshots`; no row where a snapshot has no such partition."""
    s, p = snapshots.c, partitions.c
    stamp = sa.cast(p.file_size, sa.Text) + " " + sa.cast(p.file_mtime_ns, sa.Text)
    what = sa.select(s.id, sa.func.aggregate_strings(p.path, "\n"), sa.func.aggregate_strings(stamp, "\n"))
    of_each = what.where(s.id.in_(sa.bindparam("ids", expanding=True))).group_by(s.id)
    first = sa.and_(OF_SNAPSHOT, p.first_snapshot <= s.id)
    present = of_each.join_from(snapshots, partitions, sa.and_(first, p.replaced_by.is_(None)))
    return sa.union_all(present, of_each.join_from(snapshots, partitions, sa.and_(first, p.replaced_by > s.id)))


_STAMPS = _stamps_of_snapshots()


def file_stamps(conn: sa.Connection, snapshot_ids: Collection[int]) -> dict[int, dict[str, str]]:
    """Snapshot -> {path below the lake: "BYTES TIME" (of change, in ns)} of its files, for `lake.unlike`.

    The database puts them together: a row for each of ten thousand files would cost twice as much.
    """
    found: dict[int, dict[str, str]] = {snapshot_id: {} for snapshot_id in snapshot_ids}
    for snapshot_id, paths, stamps in conn.execute(_STAMPS, {"ids": list(snapshot_ids)}).all():
        names, texts = paths.split("\n"), stamps.split("\n")
        if len(names) == len(texts):
            found[snapshot_id].update(zip(names, texts, strict=True))
        else:  # a person wrote a line break into a path
            facts = file_facts(conn, [snapshot_id])[snapshot_id]
            found[snapshot_id] = {one.path: f"{one.size} {one.mtime_ns}" for one in facts}
    return found


def quarantined(conn: sa.Connection) -> list[tuple[str, int, str]]:
    """(component, rows, path below the lake) of the rows that present outputs left out because they broke a rule."""
    state = orchestrator_state.c
    has = sa.and_(OF_SNAPSHOT, partitions.c.key == QUARANTINE_KEY, living_in(snapshots.c.id))
    shown = sa.select(state.component, partitions.c.rows, partitions.c.path)
    present = shown.join_from(orchestrator_state, snapshots, snapshots.c.id == state.output_snapshot_id)
    query = present.join(partitions, has)
    return [(name, rows, path) for name, rows, path in conn.execute(query.order_by(state.component)) if rows]


def every_file(conn: sa.Connection) -> list[tuple[str, FileFacts]]:
    """(component, file) for every file that some snapshot refers to, each file once, as its newest snapshot has it."""
    newest = sa.select(sa.func.max(partitions.c.first_snapshot).label("id"), partitions.c.path)
    shown = newest.group_by(partitions.c.path).subquery()
    is_it = sa.and_(shown.c.id == partitions.c.first_snapshot, shown.c.path == partitions.c.path)
    query = sa.select(partitions.c.component, *_FACTS).join(shown, is_it).order_by(partitions.c.path)
    return [(row[0], FileFacts(*row[1:])) for row in conn.execute(query)]


def set_mtime(conn: sa.Connection, snapshot_id: int, key: str, mtime_ns: int) -> None:
    """Note that a file was touched and found unchanged, so that it is not hashed again on the next run."""
    whose = sa.exists().where(snapshots.c.id == snapshot_id, OF_SNAPSHOT)
    here = sa.and_(whose, partitions.c.key == key, living_in(sa.literal(snapshot_id)))
    conn.execute(sa.update(partitions).where(here).values(file_mtime_ns=mtime_ns))


def referenced_paths(conn: sa.Connection) -> set[str]:
    """Paths, relative to the lake, of every file that some snapshot refers to."""
    return set(conn.scalars(sa.select(partitions.c.path).distinct()))


def _row(row: sa.RowMapping) -> SnapshotRow:
    values = dict(row)
    values["inputs"] = inputs_from_json(values.pop("input_versions"))
    return SnapshotRow(**values)


def _not_found(snapshot_id: int) -> NotFound:
    return NotFound(
        f"there is no snapshot {snapshot_id}", where="snapshots", fix="gc removed it, or the id is of another database"
    )
