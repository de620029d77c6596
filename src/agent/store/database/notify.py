"""Wakes waiting workers: NOTIFY on PostgreSQL, nothing on SQLite (a worker in the same process is woken directly)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from agent.store.database.faults import readable
from agent.store.database.urls import secrets_in, shown

_CHANNEL = "tidemill_runs"


def announce(conn: sa.Connection) -> None:
    """Tell every listening worker, once this transaction is committed, that there is a run to take."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text(f"NOTIFY {_CHANNEL}"))


def can_listen(engine: sa.Engine) -> bool:
    """Whether this database tells of new runs."""
    return engine.dialect.name == "postgresql"


@contextmanager
def listening(engine: sa.Engine) -> Iterator[Callable[[float], bool]]:
    """A connection of its own that hears announcements.

    Gives a function that waits up to that many seconds and says whether one came. Raises DatabaseUnavailable when the
    connection is lost.
    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(sa.text(f"LISTEN {_CHANNEL}"))
            driver: Any = conn.connection.driver_connection

            def heard(seconds: float) -> bool:
                return any(True for _ in driver.notifies(timeout=seconds, stop_after=1))

            try:
                yield heard
            finally:
                conn.invalidate()  # a pooled connection must not go on listening
    except sa.exc.DBAPIError as error:
        raise readable(error, shown(engine.url), secrets_in(engine.url)) from error
