"""The tables as people may look at them: plain rows, read only, for a box that takes queries."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from agent.store.database.engine import Connections
from agent.store.tables import PROJECT, metadata
from pipelines.values import dataclass

MOST_ROWS = 200_000
_TABLES = {table.name: table for table in metadata.tables.values()}


@dataclass(frozen=True)
class TableCopy:
    """Rows of a table, the newest MOST_ROWS at most. kinds: column -> str, int, float, bool or datetime."""

    kinds: dict[str, type[Any]]
    rows: list[tuple[Any, ...]]


def table_names() -> tuple[str, ...]:
    """Names of all tables, in alphabetical order."""
    return tuple(sorted(_TABLES))


def columns_of(name: str) -> tuple[str, ...]:
    """Columns of table `name`. Raises KeyError for a name that is not in `table_names`."""
    return tuple(_TABLES[name].columns.keys())


def copy_table(connections: Connections, name: str) -> TableCopy:
    """A copy of table `name`; JSON columns as text. Raises KeyError for a name that is not in `table_names`."""
    table = _TABLES[name]
    conn = connections.project if table.schema == PROJECT else connections.control
    query = sa.select(table).order_by(*(column.desc() for column in table.primary_key)).limit(MOST_ROWS)
    is_json = [isinstance(column.type, sa.JSON) for column in table.columns]
    rows = [
        tuple(
            json.dumps(value) if as_text and value is not None else value
            for value, as_text in zip(row, is_json, strict=True)
        )
        for row in conn.execute(query)
    ]
    return TableCopy({column.name: _kind(column.type) for column in table.columns}, rows)


def _kind(column_type: sa.types.TypeEngine[Any]) -> type[Any]:
    if isinstance(column_type, sa.types.TypeDecorator):
        return _kind(column_type.impl_instance)
    return str if isinstance(column_type, sa.JSON) else column_type.python_type
