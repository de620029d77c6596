"""What gc may take from the catalog: old releases, and snapshots that nothing kept refers to."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from agent.errors import DatabaseError
from agent.store.database.engine import database_now
from agent.store.outputs import results
from agent.store.outputs.catalog import OF_SNAPSHOT, living_in
from agent.store.published import backtest_metrics
from agent.store.records import inputs_from_json
from agent.store.tables import orchestrator_state, partitions, releases, result_leases, snapshots, try_state
from pipelines.lake import SHARED
from pipelines.values import dataclass

Attempting = tuple[str, int]  # a component, and the try that it is an attempt of (0: production)
_CHUNK = 500  # ids in a statement: SQLite takes a limited number
_T = TypeVar("_T")


@dataclass(frozen=True)
class Collectable:
    """Rows that nothing kept needs: names of releases, ids of snapshots."""

    releases: tuple[str, ...]
    snapshots: tuple[int, ...]


def find_doomed(
    conn: sa.Connection,
    *,
    keep_releases: int,
    releases_before: datetime,
    snapshots_before: datetime,
    results_before: datetime,
    slack: timedelta,
    removes: bool,
) -> Collectable:
    """What may go; with `removes` results go at once, so that what is kept for them is certain.

    A result: neither used nor the present output since `results_before`. It keeps its snapshot, and not what that was
    made of.

    A release: not current, not one of the `keep_releases` newest, and followed by another before `releases_before`.
    A snapshot: no kept release, no component's state and no snapshot kept refers to it, and it was followed by another
    of its component before `snapshots_before`. While a lease is held nothing goes that was current when it was taken
    (`slack`: how far clocks of hosts may differ): an attempt names what it reads only when it commits.
    """
    since = [
        taken_at
        for table in (orchestrator_state, try_state)
        for taken_at in conn.scalars(sa.select(table.c.lease_taken_at).where(table.c.lease_owner.is_not(None)))
    ]
    if None in since:
        snapshots_before = datetime.min.replace(tzinfo=snapshots_before.tzinfo)
        results_before = snapshots_before
    for taken_at in since:
        if taken_at is not None:
            snapshots_before = min(snapshots_before, taken_at - slack)
            results_before = min(results_before, taken_at - slack)
    if removes:  # before anything is looked up: see agent.store.outputs.results
        results.forget_unused(conn, results_before)
        ended = result_leases.c.lease_expires_at < database_now(conn) - slack  # its holder died, or overslept
        conn.execute(sa.delete(result_leases).where(sa.or_(result_leases.c.lease_owner.is_(None), ended)))
    # Locked, so that no one puts a release in force that is about to go (PostgreSQL; SQLite has one writer at a time).
    rows = conn.execute(sa.select(releases).order_by(releases.c.id.desc()).with_for_update()).mappings().all()
    names = {
        row["name"]
        for number, row in enumerate(rows)
        if number >= max(1, keep_releases)
        and not row["is_current"]
        and rows[number - 1]["created_at"] < releases_before
    }
    roots = {one["snapshot_id"] for row in rows if row["name"] not in names for one in row["versions"].values()}
    roots |= {row["snapshot_id"] for row in rows if row["name"] not in names}
    for table in (orchestrator_state, try_state):
        for output, inputs in conn.execute(
            sa.select(table.c.output_snapshot_id, sa.cast(table.c.input_versions, sa.Text))
        ):
            roots |= {output, *_named(inputs)} - {None}
    found = set(results.kept(conn, results_before))
    return Collectable(tuple(sorted(names)), _unreachable(conn, roots, found, snapshots_before))


def remove(conn: sa.Connection, doomed: Collectable) -> None:
    """Delete the rows. Predictions are history and stay; so do files, which nothing refers to from the commit on."""
    for names in _chunks(doomed.releases):
        conn.execute(sa.delete(releases).where(releases.c.name.in_(names)))
    for ids in _chunks(doomed.snapshots):
        conn.execute(sa.delete(backtest_metrics).where(backtest_metrics.c.snapshot_id.in_(ids)))
        conn.execute(sa.delete(snapshots).where(snapshots.c.id.in_(ids)))
    in_some = sa.select(snapshots.c.id).where(OF_SNAPSHOT, living_in(snapshots.c.id))
    conn.execute(sa.delete(partitions).where(~in_some.exists()))


def held_tokens(conn: sa.Connection) -> dict[Attempting, int]:
    """(component, try) -> token of the lease that is held on it, alive or not: its files are not to be touched."""
    return _tokens(conn, only_held=True)


def newest_tokens(conn: sa.Connection) -> dict[Attempting, int]:
    """(component, try) -> the newest token given to an attempt at it. A try that was dropped is not among them."""
    return _tokens(conn, only_held=False)


def _tokens(conn: sa.Connection, *, only_held: bool) -> dict[Attempting, int]:
    production, of_tries = orchestrator_state.c, try_state.c
    found: dict[Attempting, int] = {}
    for c, number in ((production, sa.literal(0)), (of_tries, of_tries.try_id)):
        query = sa.select(c.component, number, c.lease_token)
        rows = conn.execute(query.where(c.lease_owner.is_not(None)) if only_held else query)
        found |= {(component, try_id): token for component, try_id, token in rows}
    return found


def _named(inputs: str | None) -> set[int]:
    """Snapshots that a row of state names as inputs; none where a person broke it, as it counts as unknown."""
    try:
        return {record.snapshot_id for record in inputs_from_json(json.loads(inputs or "{}")).values()}
    except (TypeError, KeyError, ValueError, AttributeError):
        return set()


def current_paths(conn: sa.Connection) -> set[str]:
    """Paths, relative to the lake, of the files of every component's present output."""
    state = orchestrator_state.c
    outputs = sa.select(state.output_snapshot_id)
    query = sa.select(partitions.c.path).join_from(
        snapshots, partitions, sa.and_(OF_SNAPSHOT, living_in(snapshots.c.id))
    )
    return set(conn.scalars(query.where(snapshots.c.id.in_(outputs))))


def paths_without(conn: sa.Connection, doomed: Collectable) -> set[str]:
    """Paths, relative to the lake, that snapshots other than the doomed refer to."""
    gone, kept = set(doomed.snapshots), dict[Attempting, list[int]]()
    s = snapshots.c
    for row in conn.execute(sa.select(s.component, s.try_id, s.id).order_by(s.id)):
        if row.id not in gone:
            kept.setdefault((row.component, row.try_id), []).append(row.id)
    p = partitions.c
    found = set()
    for component, try_id, first, replaced_by, path in conn.execute(
        sa.select(p.component, p.try_id, p.first_snapshot, p.replaced_by, p.path)
    ):
        later = kept.get((component, try_id), [])
        at = bisect_left(later, first)
        if at < len(later) and (replaced_by is None or later[at] < replaced_by):
            found.add(path)
    return found


def release_names(conn: sa.Connection) -> set[str]:
    """Names of all releases there are."""
    return set(conn.scalars(sa.select(releases.c.name)))


def shared_keys(conn: sa.Connection, names: Collection[str]) -> set[str]:
    """Keys of the files that the releases `names` refer to beside their folders."""
    is_shared = sa.and_(OF_SNAPSHOT, partitions.c.key.startswith(SHARED))
    query = (
        sa.select(releases.c.name, partitions.c.key)
        .join_from(releases, snapshots, snapshots.c.id == releases.c.snapshot_id)
        .join(partitions, sa.and_(is_shared, living_in(snapshots.c.id)))
    )
    return {key for name, key in conn.execute(query) if name in names}


def _unreachable(
    conn: sa.Connection, roots: Iterable[int | None], alone: Collection[int], before: datetime
) -> tuple[int, ...]:
    """Snapshots that are not needed. `roots` are, with what they were made of; of those `alone` nothing else is."""
    s = snapshots.c
    columns = (s.id, s.component, s.try_id, s.created_at, s.input_versions)
    rows = conn.execute(sa.select(*columns).order_by(snapshots.c.id)).all()
    inputs: dict[int, set[int]] = {}
    for row in rows:
        try:
            inputs[row.id] = {record.snapshot_id for record in inputs_from_json(row.input_versions).values()}
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise DatabaseError(
                f"input_versions of snapshot {row.id} cannot be read, so what it needs is not known",
                where="table snapshots",
                fix="restore a backup, or set the column to {}; nothing was removed",
            ) from error
    newest: dict[Attempting, datetime] = {}  # when the snapshot after the present one was made
    fresh: set[int] = set()
    for row in reversed(rows):
        # The newest of a try is needed as long as the try's state says so.
        replaced_at = newest.get((row.component, row.try_id), row.created_at if row.try_id else None)
        if replaced_at is None or replaced_at >= before:
            fresh.add(row.id)
        newest[row.component, row.try_id] = row.created_at
    kept: set[int] = set()
    waiting = [one for one in {*roots, *fresh} if one is not None]
    while waiting:
        one = waiting.pop()
        if one in inputs and one not in kept:
            kept.add(one)
            waiting += inputs[one]
    return tuple(one for one in inputs if one not in kept and one not in alone)


def _chunks(items: Iterable[_T]) -> Iterable[list[_T]]:
    listed = list(items)
    return (listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK))
