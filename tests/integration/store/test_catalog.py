"""The catalog and the releases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from agent.core.model import InputRecord
from agent.errors import NotFound
from agent.store import state
from agent.store.database.engine import writing
from agent.store.outputs import catalog, releases
from agent.store.outputs.releases import Release
from agent.store.tables import partitions
from pipelines.snapshot import Partition, Snapshot
from tests.integration.store.conftest import NOW

FIRST, LAST = datetime(2013, 1, 2, tzinfo=UTC), datetime(2013, 3, 1, 20, 30, 0, 123456, tzinfo=UTC)


def partition(key: str, content: str = "c") -> Partition:
    return Partition(
        key=key,
        path=f"features/{key}.{content}.t1.parquet",
        rows=10,
        content_hash=content,
        file_hash=f"f-{content}",
        file_size=2**40,
        file_mtime_ns=1_790_000_000_123_456_789,
        min_ts=FIRST,
        max_ts=LAST,
        column_hashes={"price": "p", "ts": "t"},
    )


SNAPSHOT = Snapshot("features", (partition("2013"), partition("2012"), partition(".memo")))


def save(conn: sa.Connection, snapshot: Snapshot = SNAPSHOT) -> int:
    return catalog.save_snapshot(
        conn,
        snapshot,
        attempt_id=4,
        token=2,
        inputs={"ticks": InputRecord(1, "v", "r")},
        code_version="code",
        settings_hash="settings",
        settings={"window": 5},
        now=NOW,
    )


def release(conn: sa.Connection, name: str, **other: Any) -> Release:
    values: dict[str, Any] = {
        "version": "v",
        "snapshot_id": save(conn),
        "is_historical": True,
        "as_of": LAST,
        "versions": {"features": {"version": "f"}},
        "metrics": {"sharpe": float("nan")},
        "git_commit": None,
        "run_id": None,
    }
    return releases.insert_release(conn, name=name, now=NOW, **{**values, **other})


@pytest.fixture
def conn(engine: sa.Engine) -> Iterator[sa.Connection]:
    with writing(engine) as conn:
        yield conn


def test_a_snapshot_comes_back_equal(conn: sa.Connection) -> None:
    snapshot_id = save(conn)
    assert catalog.load_snapshot(conn, snapshot_id) == SNAPSHOT
    row = catalog.snapshot_row(conn, snapshot_id)
    assert (row.version, row.rows, row.watermark) == (SNAPSHOT.version, 20, LAST)
    assert (row.attempt_id, row.token, row.inputs) == (4, 2, {"ticks": InputRecord(1, "v", "r")})
    assert (row.settings, row.created_at) == ({"window": 5}, NOW)


def test_an_empty_snapshot_is_one_too(conn: sa.Connection) -> None:
    empty = Snapshot("features", ())
    assert catalog.load_snapshot(conn, save(conn, empty)) == empty


def test_a_snapshot_that_is_not_there(conn: sa.Connection) -> None:
    with pytest.raises(NotFound, match="no snapshot 9"):
        catalog.load_snapshot(conn, 9)
    with pytest.raises(NotFound, match="no snapshot 9"):
        catalog.snapshot_row(conn, 9)


def test_snapshots_are_found_by_component_and_version(conn: sa.Connection) -> None:
    assert catalog.latest_snapshot_id(conn, "features") is None
    other = Snapshot("features", (partition("2012", "d"),))
    first, second, again = save(conn), save(conn, other), save(conn)
    assert catalog.latest_snapshot_id(conn, "features") == again
    assert catalog.find_version(conn, "features", SNAPSHOT.version) == again
    assert catalog.find_version(conn, "features", other.version) == second
    assert catalog.find_version(conn, "ticks", SNAPSHOT.version) is None
    assert first < second < again


def test_facts_of_files_can_be_updated_one_by_one(conn: sa.Connection) -> None:
    snapshot_id = save(conn)
    other = save(conn, Snapshot("features", (partition("2013"), partition("2012", "d"), partition(".memo"))))
    facts = catalog.file_facts(conn, [other, snapshot_id])[snapshot_id]
    assert [fact.key for fact in facts] == [".memo", "2012", "2013"]
    assert facts[1] == ("2012", "features/2012.c.t1.parquet", 2**40, 1_790_000_000_123_456_789, "f-c")
    catalog.set_mtime(conn, snapshot_id, "2012", 5)
    found = catalog.file_facts(conn, [snapshot_id, other])
    assert [fact.mtime_ns for fact in found[snapshot_id]][1] == 5
    assert [fact.mtime_ns for fact in found[other]] == [fact.mtime_ns for fact in facts]  # its 2012 is another file
    catalog.set_mtime(conn, other, "2013", 6)  # the same file in both
    assert [one[2].mtime_ns for one in catalog.file_facts(conn, [snapshot_id, other]).values()] == [6, 6]
    assert catalog.file_facts(conn, []) == {}


def test_a_line_break_that_a_person_wrote_into_a_path_mixes_up_no_others(conn: sa.Connection) -> None:
    snapshot_id = save(conn)
    paths = sorted(catalog.file_stamps(conn, [snapshot_id])[snapshot_id])
    conn.execute(sa.update(partitions).where(partitions.c.path == paths[0]).values(path="a\nb"))
    found = catalog.file_stamps(conn, [snapshot_id, snapshot_id + 1])
    assert sorted(found[snapshot_id]) == sorted(["a\nb", *paths[1:]])
    assert found[snapshot_id + 1] == {}


def test_every_path_is_referenced(conn: sa.Connection) -> None:
    save(conn)
    save(conn, Snapshot("features", (partition("2012", "d"), partition("2013"))))
    assert catalog.referenced_paths(conn) == {
        "features/.memo.c.t1.parquet",
        "features/2012.c.t1.parquet",
        "features/2013.c.t1.parquet",
        "features/2012.d.t1.parquet",
    }


def test_the_newest_watermark_is_that_of_present_outputs(conn: sa.Connection) -> None:
    snapshot_id = save(conn)
    assert catalog.newest_watermark(conn, ["features"]) is None
    state.ensure_rows(conn, ["features"])
    conn.execute(sa.text("UPDATE orchestrator_state SET output_snapshot_id = :id"), {"id": snapshot_id})
    assert catalog.newest_watermark(conn, ["features"]) == LAST
    assert catalog.newest_watermark(conn, ["ticks"]) is None


def test_exactly_one_release_is_current(conn: sa.Connection) -> None:
    assert releases.current_release(conn) is None
    for name in ("a", "b", "c"):
        release(conn, name)
        assert releases.make_current(conn, name).is_current
    assert [(one.name, one.is_current) for one in releases.list_releases(conn, 10)] == [
        ("c", True),
        ("b", False),
        ("a", False),
    ]
    releases.make_current(conn, "a")
    current = releases.current_release(conn)
    assert current is not None
    assert (current.name, current.as_of, current.metrics) == ("a", LAST, {"sharpe": None})
    assert [one.is_current for one in releases.list_releases(conn, 10)] == [False, False, True]
    with pytest.raises(NotFound, match="'d'"):
        releases.make_current(conn, "d")


def test_a_release_that_comes_back_keeps_its_row(conn: sa.Connection) -> None:
    first = release(conn, "a", git_commit="one")
    release(conn, "b")
    again = release(conn, "a", git_commit="two")
    assert (again.id, again.git_commit) == (first.id, "two")
    assert len(releases.list_releases(conn, 10)) == 2
