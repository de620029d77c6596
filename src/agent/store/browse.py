"""The tables as people may look at them: plain rows, read only, for a box that takes queries.

One with amounts has the name and the numbers of its view: orders_view, with floats in it (see trading_tables).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from agent.store import ledger_tables as ledger_tables  # the trading agent's: for people who ask
from agent.store import paper_tables as paper_tables
from agent.store.column_types import Money
from agent.store.database.engine import Connections
from agent.store.tables import PROJECT, metadata
from pipelines.values import dataclass

MOST_ROWS = 200_000


def _shown_name(table: sa.Table) -> str:
    return f"{table.name}_view" if any(isinstance(column.type, Money) for column in table.columns) else table.name


_TABLES = {_shown_name(table): table for table in metadata.tables.values()}


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
    """A copy of table `name`; JSON columns as text, amounts as floats.

    Raises KeyError for a name that is not in `table_names`.
    """
    table = _TABLES[name]
    conn = connections.project if table.schema == PROJECT else connections.control
    query = sa.select(table).order_by(*(column.desc() for column in table.primary_key)).limit(MOST_ROWS)
    shown = [_shown(column.type) for column in table.columns]
    rows = [
        tuple(None if value is None else show(value) for value, show in zip(row, shown, strict=True))
        for row in conn.execute(query)
    ]
    return TableCopy({column.name: _kind(column.type) for column in table.columns}, rows)


def _shown(column_type: sa.types.TypeEngine[Any]) -> Callable[[Any], Any]:
    if isinstance(column_type, sa.JSON):
        return json.dumps
    return float if isinstance(column_type, Money) else lambda value: value


def _kind(column_type: sa.types.TypeEngine[Any]) -> type[Any]:
    if isinstance(column_type, Money):
        return float
    if isinstance(column_type, sa.types.TypeDecorator):
        return _kind(column_type.impl_instance)
    return str if isinstance(column_type, sa.JSON) else column_type.python_type
