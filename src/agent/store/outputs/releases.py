"""Releases: what publish produced. Exactly one is current; the row is the truth, the pointer on disk follows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from agent.errors import NotFound
from agent.store.collecting import collected_to
from agent.store.database.engine import insert
from agent.store.tables import releases, snapshots
from pipelines.values import dataclass


@dataclass(frozen=True)
class Release:
    """A row of releases. `name` is its folder below releases/; `as_of` the newest tick behind it.

    versions: component -> {version, snapshot_id, code_version, settings_hash}. collected_to: remote source -> up to
    when it was collected.
    """

    id: int
    name: str
    version: str
    snapshot_id: int
    is_current: bool
    is_historical: bool
    as_of: datetime | None
    versions: Mapping[str, Any]
    metrics: Mapping[str, Any]
    collected_to: Mapping[str, str] | None
    git_commit: str | None
    run_id: int | None
    created_at: datetime

    @property
    def assessment(self) -> str | None:
        """What its forecasts are worth, in a sentence; None where nobody assessed them."""
        found = self.metrics.get("assessment")
        return str(found["sentence"]) if isinstance(found, dict) and "sentence" in found else None

    @property
    def base_rate(self) -> float | None:
        """How often the outcome came true on out-of-fold rows; None where nobody judged it."""
        return self._of_model("base_rate")

    @property
    def promised(self) -> float | None:
        """Brier score of its model on out-of-fold rows; None where nobody judged it."""
        return self._of_model("brier")

    def _of_model(self, figure: str) -> float | None:
        found = self.metrics.get("model")
        value = found.get(figure) if isinstance(found, dict) else None
        return float(value) if isinstance(value, int | float) else None


def insert_release(
    conn: sa.Connection,
    *,
    name: str,
    version: str,
    snapshot_id: int,
    is_historical: bool,
    as_of: datetime | None,
    versions: Mapping[str, Any],
    metrics: Mapping[str, Any],
    git_commit: str | None,
    run_id: int | None,
    now: datetime,
) -> Release:
    """Write a release, not yet the current one. One that comes back (A, then B, then A again) keeps its row and its
    created_at, and says who made it last."""
    facts = {
        "version": version,
        "snapshot_id": snapshot_id,
        "is_historical": is_historical,
        "as_of": as_of,
        "versions": dict(versions),
        "metrics": dict(metrics),
        "collected_to": collected_to(conn) or None,
        "git_commit": git_commit,
        "run_id": run_id,
    }
    new = insert(conn, releases).values(name=name, created_at=now, **facts)
    conn.execute(new.on_conflict_do_update(index_elements=["name"], set_=facts))
    return load_release(conn, name)


def current_release(conn: sa.Connection) -> Release | None:
    """The release in force, or None before the first one."""
    row = conn.execute(sa.select(releases).where(releases.c.is_current)).mappings().first()
    return None if row is None else Release(**row)


def current_id(conn: sa.Connection) -> int | None:
    """The id of the release in force: a look that costs next to nothing."""
    found: int | None = conn.scalar(sa.select(releases.c.id).where(releases.c.is_current))
    return found


def release_on(conn: sa.Connection, until: datetime) -> Release | None:
    """The newest release made before `until`; None where there is none."""
    newest_first = (releases.c.created_at.desc(), releases.c.id.desc())
    query = sa.select(releases).where(releases.c.created_at < until).order_by(*newest_first).limit(1)
    row = conn.execute(query).mappings().first()
    return None if row is None else Release(**row)


def release_in_force(conn: sa.Connection, day: date | None = None) -> Release | None:
    """The current release, or with `day` the newest one made on that day (UTC) or before."""
    if day is None:
        return current_release(conn)
    return release_on(conn, datetime.combine(day, time(), UTC) + timedelta(days=1))


def list_releases(conn: sa.Connection, limit: int) -> list[Release]:
    """The newest releases, newest first."""
    query = sa.select(releases).order_by(releases.c.id.desc()).limit(limit)
    return [Release(**row) for row in conn.execute(query).mappings()]


def newest_other(conn: sa.Connection, name: str) -> Release | None:
    """The newest release but `name`: the one before the current one, or the one that it was rolled back from."""
    query = sa.select(releases).where(releases.c.name != name).order_by(releases.c.id.desc()).limit(1)
    row = conn.execute(query).mappings().first()
    return None if row is None else Release(**row)


def make_current(conn: sa.Connection, name: str) -> Release:
    """Put a release in force in place of the one that was. Raises NotFound."""
    load_release(conn, name)
    # Every other row, not only the one that was: whatever a person edited, exactly one is current afterwards.
    is_it = releases.c.name == name
    conn.execute(sa.update(releases).where(releases.c.is_current, ~is_it).values(is_current=False))
    conn.execute(sa.update(releases).where(is_it).values(is_current=True))
    return load_release(conn, name)


def move_to_snapshot(conn: sa.Connection, name: str, snapshot_id: int) -> None:
    """Let release `name` refer to a snapshot with the same content in other files; nothing where there is no such
    release."""
    conn.execute(sa.update(releases).where(releases.c.name == name).values(snapshot_id=snapshot_id))


def load_release(conn: sa.Connection, name: str) -> Release:
    """A release by its name. Raises NotFound."""
    row = conn.execute(sa.select(releases).where(releases.c.name == name)).mappings().one_or_none()
    if row is None:
        newest = conn.scalars(sa.select(releases.c.name).order_by(releases.c.id.desc()).limit(5)).all()
        fix = f"the newest are: {', '.join(newest)}" if newest else "`agent run` makes one"
        raise NotFound(f"there is no release {name!r}", where="releases", fix=fix)
    return Release(**row)


@dataclass(frozen=True)
class Behind:
    """What is on record of a component's outputs behind two releases: its settings then and now, and the names of what
    the later one read."""

    settings: tuple[Mapping[str, Any], Mapping[str, Any]]
    reads: tuple[str, ...]


def behind(conn: sa.Connection, before: Release, after: Release) -> dict[str, Behind]:
    """Component -> what is on record behind each of two releases, of those whose outputs were not removed."""
    numbers = [{name: one["snapshot_id"] for name, one in release.versions.items()} for release in (before, after)]
    wanted = {number for each in numbers for number in each.values()}
    columns = (snapshots.c.id, snapshots.c.settings, snapshots.c.input_versions)
    known = {row.id: row for row in conn.execute(sa.select(*columns).where(snapshots.c.id.in_(wanted)))}
    return {
        name: Behind((known[number].settings, known[numbers[1][name]].settings), tuple(known[number].input_versions))
        for name, number in numbers[0].items()
        if number in known and numbers[1].get(name) in known
    }
