"""All rows of a database as plain JSON values, and back, on either kind of database and from earlier versions.

Columns and types are read off the database itself: a backup made at version 3 is loaded into tables of version 3 and
then migrated, whatever the tables are by now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from agent import identity
from agent.amounts import parsed, plain
from agent.errors import Busy
from agent.store import leases
from agent.store.column_types import Money, UtcDateTime
from agent.store.database.engine import database_now

Row = dict[str, Any]  # column -> JSON value; times in ISO 8601
_NO_DATA = ("alembic_version", "lake_identity")  # of this very database: a restored one is another
_BATCH = 500
# Tables of rows that stay, with a lease each, and what is held by it.
_LEASED = {kind.table.name: kind.says for kind in (leases.COMPONENT_ROWS, leases.RUNNER_ROWS, leases.COLLECTOR_ROWS)}
_LEASED["agents"] = "the account of agent {} is traded by {}"
_LEASED["try_state"] = "a component of try {} is being run by {}"  # found by the first column of its key, for all of it


def table_names(conn: sa.Connection) -> tuple[str, ...]:
    """Every table that holds data, those that others refer to first."""
    ordered = sa.inspect(conn).get_sorted_table_and_fkc_names()
    return tuple(name for name, _ in ordered if name is not None and name not in _NO_DATA)


def rows_of(conn: sa.Connection, name: str) -> Iterator[Row]:
    """The rows of table `name`, in the order of its primary key; `conn` is a `consistent` one."""
    table = _table(conn, name)
    keys = [table.c[key] for key in sa.inspect(conn).get_pk_constraint(name)["constrained_columns"]]
    result = conn.execution_options(yield_per=_BATCH).execute(sa.select(table).order_by(*keys))
    for row in result.mappings():
        yield {key: _as_json(value) for key, value in row.items()}


def refuse_if_held(conn: sa.Connection) -> None:
    """Raise Busy where a process holds a lease: it would write into what is being replaced."""
    now = database_now(conn)
    for name, table, key in _leased(conn):
        for row in conn.execute(sa.select(table).where(table.c.lease_owner.is_not(None))).mappings():
            if leases.is_at_work(row["lease_owner"], row["lease_expires_at"], now):
                raise Busy(
                    _LEASED[name].format(row[key], identity.describe(row["lease_owner"])),
                    where=name,
                    fix="stop that process, then restore",
                )


def _leased(conn: sa.Connection) -> list[tuple[str, sa.TableClause, str]]:
    """The tables of _LEASED that this version has, each with the name of its key."""
    names = [name for name in table_names(conn) if name in _LEASED]
    tables = [(name, _table(conn, name), sa.inspect(conn).get_pk_constraint(name)) for name in names]
    return [(name, table, key["constrained_columns"][0]) for name, table, key in tables if "lease_token" in table.c]


def has_tables(conn: sa.Connection) -> bool:
    """Whether this database was migrated to a version in which it knows its lake."""
    return sa.inspect(conn).has_table("lake_identity")


def is_empty(conn: sa.Connection) -> bool:
    """Whether nothing was computed and no run recorded here yet."""
    names = table_names(conn)
    counted = [name for name in ("snapshots", "runs", "predictions", "releases") if name in names]
    return not any(conn.scalar(sa.select(sa.func.count()).select_from(_table(conn, name))) for name in counted)


def replace_all(conn: sa.Connection, tables: Mapping[str, Iterable[Row]]) -> None:
    """Put `tables` in place of every row there is. Leases are not taken over: their holders belong to another life;
    their tokens go on from the larger one, so that no file name comes twice."""
    names = table_names(conn)
    tokens = [
        (table, table.c[key], found, token)
        for _, table, key in _leased(conn)
        for found, token in conn.execute(sa.select(table.c[key], table.c.lease_token)).all()
    ]
    for name in reversed(names):
        conn.execute(sa.delete(_table(conn, name)))
    for name in names:
        table, batch = _table(conn, name), []
        times = [column.name for column in table.c if isinstance(column.type, UtcDateTime)]
        amounts = [column.name for column in table.c if isinstance(column.type, Money)]
        for row in tables.get(name, ()):
            values = row | {key: datetime.fromisoformat(row[key]) for key in times if row.get(key) is not None}
            batch.append(values | {key: parsed(row[key]) for key in amounts if row.get(key) is not None})
            if len(batch) == _BATCH:
                conn.execute(sa.insert(table), batch)
                batch = []
        if batch:
            conn.execute(sa.insert(table), batch)
        _continue_numbers(conn, name)
    for name in names:
        table = _table(conn, name)
        held = {column: None for column in ("lease_owner", "lease_taken_at", "lease_expires_at") if column in table.c}
        if held:
            conn.execute(sa.update(table).values(held))
    for table, key, found, token in tokens:
        behind = sa.and_(key == found, table.c.lease_token < token)
        conn.execute(sa.update(table).where(behind).values(lease_token=token))


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _table(conn: sa.Connection, name: str) -> sa.TableClause:
    columns = [sa.column(one["name"], _type(one["type"])) for one in sa.inspect(conn).get_columns(name)]
    return sa.table(name, *columns)


def _type(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """The type that reads and writes alike on both databases."""
    if isinstance(kind, sa.DateTime):
        return UtcDateTime()
    if isinstance(kind, sa.Numeric):  # of PostgreSQL; SQLite has amounts as the very text that JSON gets
        return Money()
    return sa.JSON(none_as_null=True) if isinstance(kind, sa.JSON) else kind


def _continue_numbers(conn: sa.Connection, name: str) -> None:
    """Let numbers that the database gives itself go on after the largest (SQLite sees to that alone)."""
    if conn.dialect.name == "sqlite" or not any(one["name"] == "id" for one in sa.inspect(conn).get_columns(name)):
        return
    sequence = conn.scalar(sa.select(sa.func.pg_get_serial_sequence(name, "id")))
    largest = conn.scalar(sa.select(sa.func.max(sa.column("id"))).select_from(sa.table(name)))
    if sequence is not None and largest is not None and largest > 0:
        conn.execute(sa.select(sa.func.setval(sequence, largest)))
