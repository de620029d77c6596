"""SQLite's file: made private, prepared, watched; and read where nothing can be written beside it.

To read a database with a write-ahead log SQLite makes files of its own beside it. Where it cannot (no free byte, a
read-only mount) and nobody has it open, the file itself is whole: it is then read as it lies there. Such a connection
only reads, and is given up after its transaction, so that it never outlives what made it necessary.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa

from agent.errors import DatabaseError
from pipelines.private import FILE_MODE

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

FILE = "tidemill_file"  # in the info of a connection: its File
_REFUSED = "tidemill_refused"  # in the info of a connection that only reads: why
_CANNOT_WRITE = ("disk i/o error", "unable to open", "readonly database", "disk is full")


def watch(engine: sa.Engine, path: Path) -> None:
    """Prepare each connection of `engine` to the file at `path`."""
    file = File(path)
    sa.event.listen(engine, "do_connect", file.connect)
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "connect", file.was_opened)
    sa.event.listen(engine, "checkin", _give_up)


def require_writable(info: Mapping[Any, Any]) -> None:
    """Raise the driver's error that made a connection one that only reads; `info` is the connection's."""
    refused = info.get(_REFUSED)
    if refused is not None:
        raise refused


class File:
    """The file. Deleted or replaced while it is open, the system would take each commit and lose it."""

    def __init__(self, path: Path) -> None:
        self._path, self._is_uri = path, any(part.startswith("file:") for part in path.parts)
        self._opened: tuple[int, int] | None = None

    def connect(
        self, _dialect: object, record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
    ) -> sqlite3.Connection | None:
        """A connection that can be read; None: the usual one can. Raises DatabaseError, and what SQLite raises."""
        self.require()
        record.info.pop(_REFUSED, None)
        if self._is_uri:
            return None
        with contextlib.closing(sqlite3.connect(*arguments, **options)) as trial:
            try:
                trial.execute("PRAGMA schema_version")
                return None
            except sqlite3.OperationalError as error:
                if not any(words in str(error).lower() for words in _CANNOT_WRITE) or self._has_log():
                    raise
                record.info[_REFUSED] = error
        given = {name: value for name, value in options.items() if name != "uri"}
        whole: sqlite3.Connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=ro&immutable=1", uri=True, **given
        )
        return whole

    def was_opened(self, _connection: object, record: ConnectionPoolEntry) -> None:
        """Note which file it is."""
        self._opened = self._opened or self._identity()
        record.info[FILE] = self

    def require(self) -> None:
        """Raise DatabaseError where it is another one now, or none."""
        if self._opened is None:
            self._make_private()
        elif self._identity() != self._opened:
            raise DatabaseError(
                "the database file was deleted or replaced while this process had it open; nothing was written",
                where=str(self._path),
                fix="put it back if it was moved, then start again; without it everything is computed again",
            )

    def _make_private(self) -> None:
        """A new file is its owner's alone. What SQLite makes beside it (-wal, -shm) gets the same mode."""
        if self._is_uri:
            return
        with contextlib.suppress(OSError):  # SQLite then says why it cannot open it
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))

    def _has_log(self) -> bool:
        """Whether something of the database is in its write-ahead log."""
        with contextlib.suppress(OSError):
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size > 0
        return False

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _prepare(connection: Any, record: ConnectionPoolEntry) -> None:
    # None: Python's sqlite3 opens no transaction of its own, which would be a deferred one; the engine's do.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if _REFUSED in record.info:
        return
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file alone: space is given back in steps
        # Two processes that make the same new file: changing the mode does not wait for a lock, BEGIN IMMEDIATE does.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


def _give_up(_connection: object, record: ConnectionPoolEntry) -> None:
    if _REFUSED in record.info:
        record.invalidate(soft=True)
