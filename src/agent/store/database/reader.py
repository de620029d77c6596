"""Reads for an event loop: no thread for each of them, and no wait that holds the loop up (docs/decisions/0018)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from agent.store.database.engine import Connections, Database, open_engine, translated

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_T = TypeVar("_T")
_Work = Callable[[Connections], _T]
_MOST_WAIT_MS = 1000  # SQLite's readers wait for nobody, but for whoever opens a file that was left in disorder


class Reader:
    """Reads a database whose control and project are one, from the one event loop that it is used in."""

    def __init__(self, database: Database) -> None:
        assert database.is_one
        self._database, self._async = database, None if _is_file(database) else _async_engine(database.project)
        self._own: Database | None = None
        if self._async is None:
            # A pool of its own: the loop must not wait for a connection that a thread holds.
            own = open_engine(database.control.url.render_as_string(hide_password=False))
            sa.event.listen(own, "connect", _wait_less)
            self._own = Database(own, own, database.project_id)

    async def read(self, work: _Work[_T], *, is_long: bool = False) -> _T:
        """What `work` makes of a reading transaction; it must not wait for anything but the database.

        is_long: it reads more than a page of rows. Such a one is read in a thread where the database is a file, since
        the loop would do nothing else meanwhile. Raises what `work` raises, DatabaseError and DatabaseUnavailable.
        """
        if self._async is not None:
            return await self._read_server(self._async, work)
        if is_long:
            return await asyncio.to_thread(_read_file, self._database, work)
        assert self._own is not None
        return _read_file(self._own, work)

    async def close(self) -> None:
        """Close its connections."""
        if self._async is not None:
            await self._async.dispose()
        if self._own is not None:
            self._own.close()

    async def _read_server(self, engine: AsyncEngine, work: _Work[_T]) -> _T:
        def do(conn: sa.Connection) -> _T:
            return work(Connections(conn, conn, self._database.project_id))

        with translated(engine.sync_engine):
            async with engine.connect() as conn, conn.begin():
                return await conn.run_sync(do)


def _read_file(database: Database, work: _Work[_T]) -> _T:
    with database.reading() as connections:
        return work(connections)


def _is_file(database: Database) -> bool:
    return database.control.dialect.name == "sqlite"


def _async_engine(engine: sa.Engine) -> AsyncEngine:
    """The same PostgreSQL database and schemas, by connections that an event loop waits for."""
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(engine.url, pool_pre_ping=True, execution_options=engine.get_execution_options())


def _wait_less(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_MOST_WAIT_MS}")
