"""A database of version 0001, with a row in each table, is carried over to this program's version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.core.model import Mark
from agent.store.column_types import UtcDateTime
from agent.store.database import migrations
from agent.store.database.engine import of_project, open_engine, reading
from agent.store.state import load_states
from agent.store.tables import in_one_schema
from tests.lazy import Lazy

pytestmark = pytest.mark.from_nothing

autogenerate, migration = Lazy("alembic.autogenerate"), Lazy("alembic.migration")


_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
_FIRST_ROWS: dict[str, dict[str, Any]] = {  # a row of each table as version 0001 has it
    "alerts": {"cause": "run/project 1", "last_sent_at": _AT, "sent_count": 3},
    "backtest_metrics": {"snapshot_id": 7, "strategy": "model", "metric": "sharpe", "value": 0.5},
    "markets": {
        "market_id": "sample:a",
        "source": "sample",
        "external_id": "a",
        "kind": "spot",
        "status": "open",
        "updated_at": _AT,
    },
    "orchestrator_state": {
        "component": "ticks",
        "is_dirty": True,
        "dirty_reason": "a person; [auto] new data",
        "dirty_partitions": ["2026"],
        "run_count": 5,
        "status": "running",
        "input_versions": {"markets": {"snapshot_id": 3, "version": "v", "read_version": "r"}},
        "output_snapshot_id": 7,
        "output_version": "v7",
        "lease_owner": "far-away/boot/pid:[1]/7/9",
        "lease_token": 9,
        "lease_expires_at": _AT,
    },
    "predictions": {
        "id": 4,
        "market_id": "sample:a",
        "ts": _AT,
        "model_version": "m",
        "price": 1.5,
        "probability": 0.6,
        "confidence": 0.2,
        "edge": 0.01,
        "horizon_bars": 3,
        "horizon_end_at": _AT,
        "snapshot_id": 7,
        "created_at": _AT,
    },
    "projects": {"id": 5, "name": "other", "local_path": "/tmp/other", "created_at": _AT},
    "schedules": {"name": "orchestrator", "rule": "interval 60 s", "next_due_at": _AT},
    "snapshots": {
        "id": 7,
        "component": "ticks",
        "version": "v7",
        "rows": 2,
        "attempt_id": 6,
        "token": 9,
        "input_versions": {},
        "code_version": "c",
        "settings_hash": "s",
        "settings": {},
        "created_at": _AT,
    },
    "partitions": {
        "snapshot_id": 7,
        "key": "2026",
        "path": "ticks/2026",
        "rows": 2,
        "content_hash": "h",
        "column_hashes": {"price": "p"},
        "file_hash": "f",
        "file_size": 10,
        "file_mtime_ns": 11,
    },
    "releases": {
        "id": 2,
        "name": "r2",
        "version": "v",
        "snapshot_id": 7,
        "is_current": True,
        "is_historical": True,
        "versions": {},
        "metrics": {},
        "created_at": _AT,
    },
    "runs": {
        "id": 8,
        "project_id": 5,
        "goal": "g",
        "targets": ["ticks"],
        "force": [],
        "trigger": "person",
        "status": "RUNNING",
        "owner": "far-away/boot/pid:[1]/7/9",
        "lease_expires_at": _AT,
        "created_at": _AT,
    },
    "approvals": {"id": 1, "run_id": 8, "status": "approved", "created_at": _AT, "expires_at": _AT},
    "attempts": {
        "id": 6,
        "run_id": 8,
        "component": "ticks",
        "number": 1,
        "status": "running",
        "token": 9,
        "owner": "far-away/boot/pid:[1]/7/9",
        "reasons": [],
        "started_at": _AT,
    },
    "events": {"id": 1, "run_id": 8, "seq": 1, "type": "RUN_CREATED", "payload": {"goal": "g"}, "created_at": _AT},
}


@pytest.fixture(
    params=["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "a schema"))]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """Where tables are: in a database of their own, or in a project's schema of the server's. None are there yet."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path}/first.sqlite")
    else:
        engine = open_engine(request.getfixturevalue("postgres_url"))
    yield of_project(engine, 5) if request.param == "a schema" else engine
    engine.dispose()


def _tables(conn: sa.Connection) -> dict[str, sa.Table]:
    """As the database itself has them, on the search path."""
    found = sa.MetaData()
    found.reflect(conn)
    for table in found.tables.values():
        for column in table.c:
            if isinstance(column.type, sa.DateTime):
                column.type = UtcDateTime()
    return dict(found.tables)


# A person's words and what an evaluation had found stood in one text.
_MARK = Mark(by="", at=None, reason="a person", partitions=("2026",))
_CARRIED_OVER: dict[str, dict[str, Any]] = {
    "orchestrator_state": {"dirty_reason": "new data", "marked_reason": "a person"},
    "partitions": {"component": "ticks", "first_snapshot": 7, "replaced_by": None},
}


def test_a_database_of_the_first_version_is_carried_over_with_its_rows(place: sa.Engine) -> None:
    migrations.downgrade(place, "base")  # of the template that tests copy
    migrations.upgrade(place, "0001")
    with migrations.migrating(place) as conn:
        tables = _tables(conn)
        assert {*tables} == {*_FIRST_ROWS, "runner", "alembic_version"}
        for name, row in _FIRST_ROWS.items():
            conn.execute(sa.insert(tables[name]), row)
    migrations.ensure_current(place, automatic=True)
    with migrations.migrating(place) as conn:
        tables = _tables(conn)
        for name, row in _FIRST_ROWS.items():
            table = tables[name]
            kept = {key: value for key, value in (row | _CARRIED_OVER.get(name, {})).items() if key in table.c}
            query = sa.select(*(table.c[key] for key in kept)).where(
                *(table.c[key.name] == kept[key.name] for key in table.primary_key)
            )
            assert dict(conn.execute(query).mappings().one()) == kept, name
        context = migration.MigrationContext.configure(conn, opts={"compare_server_default": True})
        assert autogenerate.compare_metadata(context, in_one_schema()) == []
    with reading(place) as conn:
        found = load_states(conn)["ticks"]
    assert found.mark is not None
    assert found.mark.at is not None  # when it was set is not on record: the time of the migration
    assert replace(found.mark, at=None) == _MARK
    assert (found.output_version, found.lease_token) == ("v7", 9)
