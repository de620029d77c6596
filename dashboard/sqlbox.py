"""Answers SQL queries over the lake and the state, closed in: nothing outside the lake is read, nothing is written.

DuckDB runs in a process of its own, whose memory and time the system limits, with external access off, the lake as its
only folder, and its configuration locked. It would still write into that folder (COPY … TO): a query must be one
SELECT: the parser says so, not a search for words. Tables of the state are copied, only those that the query names.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import UsageError
from agent.store import browse
from agent.store.browse import TableCopy
from dashboard import data
from dashboard.data import Session
from pipelines.snapshot import Partition

if TYPE_CHECKING:
    import polars as pl

ROWS_SHOWN, ROWS_DOWNLOADED = 5_000, 1_000_000
SECONDS = 20.0
MEMORY_BYTES = 512 << 20  # beyond what the process has once it has begun
_ANSWER_BYTES = 256 << 20
GRACE_SECONDS = 5.0  # to begin, and to say that the time is over; then the process is killed
_IDLE_SECONDS = 600  # that a process waits for its query, then it ends
_FRESH_SECONDS = 0.9 * _IDLE_SECONDS  # an older one may be about to end
# View -> the component whose partitions it has, and the start of their keys.
_VIEWS = {
    "ticks": ("ticks", "trades/"),
    "quarantine": ("ticks", "quarantine"),
    "bars": ("features", "bars/"),
    "features": ("features", "features/"),
    "oof": ("model", "oof/"),
    "equity": ("backtest", "equity/"),
    "trades": ("backtest", "trades/"),
}
# Bars as exports show them: ts is when a bar is known, its end.
_BAR_COLUMNS = (
    'market_id, "end" AS ts, start AS bar_start, date_diff(\'second\', start, "end") AS interval_seconds,'
    " * EXCLUDE (market_id), bid_close AS bid, ask_close AS ask,"
    " (ask_close - bid_close) / ((ask_close + bid_close) / 2) AS spread"
)
_WORD = re.compile(r"\w+")
_FIX = "write one SELECT over the tables below; nothing can be changed here"


@dataclass(frozen=True)
class Answer:
    """What a query gave. `is_cut`: there were more rows than were asked for."""

    frame: pl.DataFrame
    is_cut: bool
    seconds: float


def views(desk: Session) -> dict[str, list[Partition]]:
    """View -> its partitions, for those that exist now."""
    found = {}
    for name, (component, prefix) in _VIEWS.items():
        snapshot = data.output(desk, component)
        partitions = [] if snapshot is None else [one for one in snapshot.select(prefix) if one.column_hashes]
        if partitions:
            found[name] = partitions
    return found


def ask(desk: Session, query: str, rows: int = ROWS_SHOWN) -> Answer:
    """The first `rows` of the answer. Raises UsageError for what is not one SELECT, fails, or takes too much time or
    memory: the query runs in a process of its own, which the system limits (see sqlchild)."""
    begun = time.monotonic()
    request, tables = _request(desk, query, rows)
    said, code = _exchange(json.dumps(request).encode() + b"\n" + b"".join(tables))
    head, _, answer = said.partition(b"\n")
    if not head:  # ended by the system: it asked for more memory than there is, or computed past its time
        raise _too_long() if code == -signal.SIGXCPU else _too_much()
    outcome = json.loads(head)
    match outcome["kind"]:
        case "":
            frame = _from_arrow(answer)
            return Answer(frame.head(rows), frame.height > rows, time.monotonic() - begun)
        case "time":
            raise _too_long()
        case "memory":
            raise _too_much()
        case _:
            raise UsageError(outcome["error"], where="SQL", fix=_FIX)


def get_ready() -> None:
    """Begin the process that answers the next query, where none waits: a person then waits for the query alone, and not
    for what the process imports. One that nobody asks ends by itself, and with the process that began it."""
    if ready and time.monotonic() - ready[0][0] < _FRESH_SECONDS:
        return
    ready.append((time.monotonic(), _begin()))


def _exchange(sent: bytes) -> tuple[bytes, int]:
    """What a process says to `sent`, and its exit code. Raises UsageError where it takes too long."""
    child = _ready_one() or _begin()
    try:
        said, _ = child.communicate(sent, SECONDS + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise _too_long() from None
    return said, child.returncode


def _ready_one() -> subprocess.Popen[bytes] | None:
    try:
        since, child = ready.pop()
    except IndexError:
        return None
    is_fresh = time.monotonic() - since < _FRESH_SECONDS and child.poll() is None
    return child if is_fresh else None


def _begin() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", str(Path(__file__).with_name("sqlchild.py")), str(_IDLE_SECONDS)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    pipe = subprocess.PIPE
    # In no folder of the project, which may be moved or unmounted meanwhile: all its paths are absolute.
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, cwd=os.sep)


ready: deque[tuple[float, subprocess.Popen[bytes]]] = deque(maxlen=1)  # since when it waits


def _too_long() -> UsageError:
    return UsageError(
        f"the query took longer than {SECONDS:.0f} s and was ended", where="SQL", fix="filter or aggregate more"
    )


def _too_much() -> UsageError:
    return UsageError("the query needs too much memory", where="SQL", fix="filter or aggregate more")


def _request(desk: Session, query: str, rows: int) -> tuple[dict[str, Any], list[bytes]]:
    """What the child is asked, and copies of the state's tables that the query names."""
    # Words, not DuckDB's own list, which it can only make once the tables are there. One too many does no harm.
    named = set(_WORD.findall(query.lower()))
    lake = desk.workspace.lake
    tables = {}
    for name in sorted(named.intersection(browse.table_names())):
        with desk.workspace.database.reading() as connections:
            tables[name] = _copied(browse.copy_table(connections, name))
    request = {
        "query": query,
        "rows": rows + 1,
        "seconds": SECONDS,
        "memory_bytes": MEMORY_BYTES,
        "answer_bytes": _ANSWER_BYTES,
        "root": f"{lake.root.absolute()}/",
        "views": {
            name: (
                _BAR_COLUMNS if name == "bars" else "*",
                [str(lake.path_of(one).absolute()) for one in partitions],
            )
            for name, partitions in views(desk).items()
            if name in named
        },
        "tables": {name: len(data) for name, data in tables.items()},
    }
    return request, list(tables.values())


def _copied(table: TableCopy) -> bytes:
    """A table's rows as an Arrow stream."""
    import polars as pl
    import pyarrow as pa

    types: dict[type[Any], pl.DataType] = {
        str: pl.String(),
        int: pl.Int64(),
        float: pl.Float64(),
        bool: pl.Boolean(),
        datetime: pl.Datetime("us", "UTC"),
    }
    schema = {column: types[kind] for column, kind in table.kinds.items()}
    frame = pl.DataFrame(table.rows, schema=schema, orient="row").to_arrow()
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, frame.schema) as stream:
        stream.write_table(frame)
    return buffer.getvalue()


def _from_arrow(data: bytes) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa

    frame = pl.from_arrow(pa.ipc.open_stream(data).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame
