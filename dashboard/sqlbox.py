"""Answers SQL queries over the lake and the state, closed in: nothing outside the lake is read, nothing is written.

DuckDB runs in memory with external access off, the lake as its only folder, and its configuration locked. It would
still write into that folder (COPY … TO), so that a query must be one SELECT: the parser says so, not a search for
words. Tables of the state are copied into memory, only those that the query names.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb

from agent.errors import UsageError
from agent.store import browse
from agent.store.browse import TableCopy
from dashboard import data
from dashboard.data import Desk
from pipelines.snapshot import Partition

if TYPE_CHECKING:
    import polars as pl

ROWS_SHOWN, ROWS_DOWNLOADED = 5_000, 1_000_000
SECONDS = 20.0
# View -> the component whose partitions it has, and the start of their keys.
_VIEWS = {
    "ticks": ("ticks", ""),
    "quarantine": ("ticks", "quarantine"),
    "bars": ("features", "bars/"),
    "features": ("features", "features/"),
    "oof": ("model", "oof/"),
    "equity": ("backtest", "equity/"),
    "trades": ("backtest", "trades/"),
}
_WORD = re.compile(r"\w+")
_MEND = "write one SELECT over the tables below; nothing can be changed here"


@dataclass(frozen=True)
class Answer:
    """What a query gave. `is_cut`: there were more rows than were asked for."""

    frame: pl.DataFrame
    is_cut: bool
    seconds: float


def views(desk: Desk) -> dict[str, list[Partition]]:
    """View -> its partitions, for those that exist now."""
    found = {}
    for name, (component, prefix) in _VIEWS.items():
        snapshot = data.output(desk, component)
        partitions = [] if snapshot is None else [one for one in snapshot.select(prefix) if one.column_hashes]
        if name == "ticks":
            partitions = [one for one in partitions if one.key != "quarantine"]
        if partitions:
            found[name] = partitions
    return found


def ask(desk: Desk, query: str, rows: int = ROWS_SHOWN) -> Answer:
    """The first `rows` of the answer. Raises UsageError for what is not one SELECT, fails, or takes too long."""
    begun = time.monotonic()
    connection = _closed_in(desk, query)
    timer = threading.Timer(SECONDS, connection.interrupt)
    timer.start()
    try:
        frame: pl.DataFrame = connection.sql(query).limit(rows + 1).pl()
    except duckdb.InterruptException as error:
        raise UsageError(
            f"the query took longer than {SECONDS:.0f} s and was ended", where="SQL", mend="filter or aggregate more"
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise UsageError("the query needs too much memory", where="SQL", mend="filter or aggregate more") from error
    except duckdb.Error as error:
        raise UsageError(str(error), where="SQL", mend=_MEND) from error
    finally:
        timer.cancel()
        connection.close()
    return Answer(frame.head(rows), frame.height > rows, time.monotonic() - begun)


def _closed_in(desk: Desk, query: str) -> duckdb.DuckDBPyConnection:
    """A connection that can read the lake and copies of the state's tables, and do nothing else."""
    connection = duckdb.connect(config={"threads": "2", "memory_limit": "256MB", "max_temp_directory_size": "0MB"})
    try:
        _require_select(connection, query)
        # Words, not DuckDB's own list, which it can only make once the tables are there. One too many does no harm.
        named = set(_WORD.findall(query.lower()))
        lake = desk.workspace.lake
        for name, partitions in views(desk).items():
            if name in named:
                files = [str(lake.path_of(one)) for one in partitions]
                connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({_quoted(files)})")  # noqa: S608
        for name in sorted(named.intersection(browse.table_names())):
            with desk.workspace.database.reading() as connections:
                _copy(connection, name, browse.copy_table(connections, name))
        for statement in (
            "SET TimeZone = 'UTC'",
            "SET python_enable_replacements = false",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET allowed_directories = {_quoted([f'{lake.root.absolute()}/'])}",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            connection.execute(statement)
    except duckdb.Error as error:
        connection.close()
        raise UsageError(str(error), where="SQL", mend=_MEND) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(one.type.name for one in statements) or "nothing"
        raise UsageError(f"this is not one SELECT but {kinds}", where="SQL", mend=_MEND)


def _copy(connection: duckdb.DuckDBPyConnection, name: str, table: TableCopy) -> None:
    import polars as pl

    types: dict[type[Any], pl.DataType] = {
        str: pl.String(),
        int: pl.Int64(),
        float: pl.Float64(),
        bool: pl.Boolean(),
        datetime: pl.Datetime("us", "UTC"),
    }
    schema = {column: types[kind] for column, kind in table.kinds.items()}
    frame = pl.DataFrame(table.rows, schema=schema, orient="row")
    connection.register("_copied", frame.to_arrow())
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _copied")  # noqa: S608 (a name of our own tables)
    connection.unregister("_copied")


def _quoted(texts: list[str]) -> str:
    """Texts as a list of SQL literals."""
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"
