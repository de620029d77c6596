"""Answers one query in a process of its own, with limits that the system enforces.

A script: `python -I sqlchild.py SECONDS`.

It reads a line of JSON (see `main`) and the copies of tables as Arrow streams from standard input, and writes a line of
JSON and the answer as an Arrow stream to standard output. DuckDB's own limits come first and give the better message; a
function that allocates or computes past them (`repeat`, a regular expression) meets those of the system.
"""

from __future__ import annotations

import io
import json
import os
import resource
import select
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa


def main() -> None:
    """Answer the query on standard input, where one comes within the seconds that the first argument says."""
    connection = connected()  # which takes a quarter as long as a query over millions of rows
    if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
        return
    asked = sys.stdin.buffer.readline()
    if not asked:  # whoever began this process is gone
        return
    sys.stdout.buffer.write(answered(connection, asked, sys.stdin.buffer, limit))
    sys.stdout.buffer.flush()
    os._exit(0)  # threads of a query that was interrupted may go on


def connected() -> duckdb.DuckDBPyConnection:
    """A connection that has asked nothing yet."""
    return duckdb.connect(config={"threads": "2", "memory_limit": "256MB", "max_temp_directory_size": "0MB"})


def answered(
    connection: duckdb.DuckDBPyConnection, line: bytes, tail: BinaryIO, limit: Callable[[int, float], None]
) -> bytes:
    """What goes to standard output for a request. `limit` is called before the query runs.

    The line of JSON: query, rows (at most), seconds, memory_bytes, answer_bytes, root (the lake), views (name -> its
    columns and files), tables (name -> bytes of its Arrow stream, in this order in `tail`).
    """
    asked = json.loads(line)
    tables = {name: pa.ipc.open_stream(tail.read(size)).read_all() for name, size in asked["tables"].items()}
    out: dict[str, Any] = {"kind": "", "error": ""}
    answer = b""
    try:
        require_select(connection, asked["query"])
        close_in(connection, asked, tables)
        limit(asked["memory_bytes"], asked["seconds"])
        timer = threading.Timer(asked["seconds"], connection.interrupt)
        timer.start()
        try:
            found = connection.sql(asked["query"]).limit(asked["rows"]).to_arrow_table()
        finally:
            timer.cancel()
        if found.nbytes > asked["answer_bytes"]:
            raise MemoryError
        buffer = io.BytesIO()
        with pa.ipc.new_stream(buffer, found.schema) as stream:
            stream.write_table(found)
        answer = buffer.getvalue()
    except duckdb.InterruptException:
        out = {"kind": "time", "error": ""}
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        out = {"kind": "memory", "error": ""}
    except duckdb.Error as error:
        out = {"kind": "memory" if "bad_alloc" in str(error) else "query", "error": str(error)}
    except ValueError as error:
        out = {"kind": "query", "error": str(error)}
    return json.dumps(out).encode() + b"\n" + answer


def require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise ValueError for anything but one SELECT."""
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(one.type.name for one in statements) or "nothing"
        raise ValueError(f"this is not one SELECT but {kinds}")


def close_in(connection: duckdb.DuckDBPyConnection, asked: dict[str, Any], tables: dict[str, pa.Table]) -> None:
    """Let the connection read the lake and the copies, and do nothing else."""
    for name, (columns, files) in asked["views"].items():
        rows = f"{columns} FROM read_parquet({quoted(files)}, union_by_name=true)"
        connection.execute(f"CREATE VIEW {name} AS SELECT {rows}")
    for name, table in tables.items():
        connection.register("_copied", table)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _copied")  # noqa: S608 (a name of our own tables)
        connection.unregister("_copied")
    for statement in (
        "SET TimeZone = 'UTC'",
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        f"SET allowed_directories = {quoted([asked['root']])}",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)


def limit(memory_bytes: int, seconds: float) -> None:
    """From here on no more than so much memory than is in use now, so much processor time, and no file written."""
    used, data = in_use()
    limits = [
        (resource.RLIMIT_CPU, int(2 * seconds) + 5),  # of both threads together
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        # What threads reserve and never touch counts as address space, hence its wider bound.
        (resource.RLIMIT_AS, used + 3 * memory_bytes),
        (resource.RLIMIT_DATA, data + memory_bytes),
    ]
    for kind, most in limits:
        resource.setrlimit(kind, (most, most))


def in_use() -> tuple[int, int]:
    """Bytes of address space and of data in use, as Linux counts them; elsewhere a generous guess."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 (a script that imports little)
            facts = dict(line.split(":", 1) for line in file if line.startswith(("VmSize", "VmData")))
        return int(facts["VmSize"].split()[0]) * 1024, int(facts["VmData"].split()[0]) * 1024
    except (OSError, KeyError):
        return 8 << 30, 8 << 30


def quoted(texts: list[str]) -> str:
    """Texts as a list of SQL literals."""
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


if __name__ == "__main__":
    main()
