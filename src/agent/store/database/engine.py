"""Opens a database, SQLite or PostgreSQL, and hides what differs between them: transactions, time, upserts.

Each engine says where a project's tables lie: it maps their symbolic schema (agent.store.tables.PROJECT) to the schema
of the URL, the default one, or one project's own (`of_project`). Control tables have no schema and are found by the
search path. Plain SQL (sa.text) is not mapped: it must not name a project's tables.

An engine also says whose state and catalog its connections see: production's, or those of one try (`of_try`).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from agent.errors import DatabaseError
from agent.store import sqlite_file
from agent.store.column_types import UtcDateTime
from agent.store.database.faults import readable
from agent.store.database.json_columns import reader_of_json, to_json
from agent.store.database.urls import secrets_in, shown
from agent.store.tables import PROJECT
from pipelines.private import make_folder
from pipelines.values import dataclass

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
    from sqlalchemy.pool import ConnectionPoolEntry

_BUSY_SECONDS = 30
_STALLED_SECONDS = 120  # a writing transaction that does nothing for this long: its process is stopped or cut off
# A process that is stopped inside a transaction must not hold up the others for ever: on PostgreSQL they give up
# waiting as they do on SQLite, and the server ends its transaction.
_BEGIN_WRITING = (
    f"BEGIN; SET LOCAL lock_timeout = '{_BUSY_SECONDS}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{_STALLED_SECONDS}s'"
)
_TRUSTED_SECONDS = 1.0  # a connection to PostgreSQL that was used within this time is not tried out before it is used
_USED_AT = "tidemill_used_at"  # in the info of a connection: when it was given back
_OF_THE_DRIVER = (sa.exc.DBAPIError, sa.exc.TimeoutError)
_TEXTS = 512  # of statements, kept per database
_RENDER = "_render_schema_translates"  # no public name; one that did not call it would only be slower again
_MAP = "schema_translate_map"  # execution option of SQLAlchemy: symbolic schema -> the real one, None the default one
_TRY = "tidemill_try"  # execution option: number of the try whose rows are meant; production's without it
_ELSEWHERE = {PROJECT: "project_in_another_database"}  # for a connection that has none of the project's tables
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_CLOCK: sa.ColumnElement[datetime] = sa.func.clock_timestamp(type_=UtcDateTime())  # now() is a transaction's start
_ASK_CLOCK = sa.select(_CLOCK)
_URL = "AGENT_DATABASE_URL, else [database] url in agent.toml (`agent settings database` says which)"
_EXAMPLES = "write it as sqlite:////folder/state.sqlite or postgresql+psycopg://user:password@host/database"


def open_engine(url: str) -> sa.Engine:
    """An engine for `url`; nothing is connected yet, but SQLite's folder is made.

    `postgresql://` and `postgresql+psycopg://` both mean psycopg 3, and may carry `?schema=NAME` (the schema that
    tables are looked for and made in). Raises DatabaseError for a URL that cannot be used.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Without its cause, which may quote a piece of the password.
        raise DatabaseError("the database URL cannot be read", where=_URL, fix=_EXAMPLES) from None
    if "@" in (parsed.host or ""):
        raise DatabaseError(
            "the database URL cannot be read: the password holds an @",
            where=_URL,
            fix="write %40 for each @ in user and password (%2F for /, %3A for :)",
        )
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        return _open_sqlite(parsed)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return _open_postgres(parsed.set(drivername="postgresql+psycopg"))
    raise DatabaseError(
        f"databases of kind {parsed.drivername!r} are not supported", where=shown(parsed), fix=_EXAMPLES
    )


def of_project(engine: sa.Engine, project_id: int) -> sa.Engine:
    """The same PostgreSQL database, with the tables of project `project_id` in their schema. Shares its connections."""
    return engine.execution_options(**{_MAP: {PROJECT: f"project_{project_id}"}})


def of_try(engine: sa.Engine, try_id: int) -> sa.Engine:
    """The same database, as try `try_id` sees it: its own state, its own newest outputs. Shares its connections."""
    return engine.execution_options(**{_TRY: try_id})


def try_of(at: sa.Connection | sa.Engine) -> int:
    """The number of the try whose rows are meant; 0 for production."""
    number: int = at.get_execution_options().get(_TRY, 0)
    return number


def schema_of(engine: sa.Engine) -> str | None:
    """The schema that an engine finds a project's tables in; None for the default one, and on SQLite."""
    schema: str | None = engine.get_execution_options()[_MAP][PROJECT]
    return schema


def place_of(engine: sa.Engine) -> str:
    """Database and schema as people may see them, for messages."""
    schema, url = schema_of(engine), shown(engine.url)
    return url if schema is None or schema in url else f"{url} (schema {schema})"


def reading(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """A connection that only reads. Raises DatabaseError, DatabaseUnavailable.

    On SQLite it sees one state of the database. On PostgreSQL each statement sees the newest one, as it does within a
    READ COMMITTED transaction, so that none is begun: two round trips less for each look. See `consistent`.
    """
    return _that_reads(engine, None)


def consistent(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """As `reading`, but all statements see one state of the database, and may read page by page (`yield_per`)."""
    return _that_reads(engine, "BEGIN ISOLATION LEVEL REPEATABLE READ")


@contextmanager
def _that_reads(engine: sa.Engine, begin_on_server: str | None) -> Iterator[sa.Connection]:
    try:
        with engine.connect() as conn:  # ends with a rollback: there is nothing to commit
            if sqlite_file.FILE in conn.info:
                _begin_sqlite(conn, "BEGIN")
            elif begin_on_server is not None:
                conn.exec_driver_sql(begin_on_server)
            yield conn
    except _OF_THE_DRIVER as error:
        raise _readable(engine, error) from error


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that writes: committed at the end, rolled back on an error.

    On SQLite it holds the one write lock from its start, so that reading first and writing later cannot fail halfway.
    Raises DatabaseError, DatabaseUnavailable (a lock, a deadlock, a lost connection: it may be tried again).
    """
    try:
        with engine.connect() as conn:
            file = conn.info.get(sqlite_file.FILE)
            with conn.begin():
                if file is not None:
                    _begin_sqlite(conn, "BEGIN IMMEDIATE")
                else:
                    conn.exec_driver_sql(_BEGIN_WRITING)
                yield conn
                sys.audit("tidemill.point", "transaction.committing")
                if file is not None:
                    file.require()
            sys.audit("tidemill.point", "transaction.committed")
    except _OF_THE_DRIVER as error:
        raise _readable(engine, error) from error


@contextmanager
def alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose statements are no part of a transaction: VACUUM wants it so. Raises as `writing` does."""
    with translated(engine), engine.connect() as conn:
        if sqlite_file.FILE not in conn.info:  # SQLite begins none by itself, see sqlite_file
            conn.execution_options(isolation_level="AUTOCOMMIT")
        yield conn


@dataclass(frozen=True)
class Connections:
    """The two open transactions of a `Database`; one and the same where control and project share a database.

    Who writes both locks the project's rows before the control rows, so that no two wait for each other.
    """

    control: sa.Connection
    project: sa.Connection
    project_id: int = 0


@dataclass(frozen=True)
class Database:
    """Where a project's state, catalog and projections lie, and where runs, attempts and events do.

    In one database, the project's tables perhaps in a schema of their own (`of_project`), one transaction covers both.
    A project with a database of its own takes two, of which the project's is committed first;
    `attempts.find_abandoned` and `commit_success` make up for what a crash between the two leaves behind.
    """

    control: sa.Engine
    project: sa.Engine
    project_id: int = 0

    @property
    def is_one(self) -> bool:
        """Whether one transaction covers control and project."""
        return self.project.pool is self.control.pool

    @property
    def try_id(self) -> int:
        """The try whose state and outputs are meant; 0 for production."""
        return try_of(self.project)

    def of_try(self, try_id: int) -> Database:
        """The same databases as try `try_id` sees them."""
        return Database(self.control, of_try(self.project, try_id), self.project_id)

    def writing(self) -> AbstractContextManager[Connections]:
        """Writing transactions, see `writing`."""
        return self._connected(writing)

    def reading(self) -> AbstractContextManager[Connections]:
        """Reading transactions, see `reading`."""
        return self._connected(reading)

    def now(self) -> datetime:
        """The present instant by the project's database, aware UTC."""
        with reading(self.project) as conn:
            return database_now(conn)

    def close(self) -> None:
        """Close every connection."""
        self.control.dispose()
        if not self.is_one:
            self.project.dispose()

    @contextmanager
    def _connected(self, begin: Callable[[sa.Engine], AbstractContextManager[sa.Connection]]) -> Iterator[Connections]:
        if self.is_one:
            with begin(self.project) as conn:
                yield Connections(conn, conn, self.project_id)
            return
        with begin(self.control) as control, begin(self.project) as project:
            control.execution_options(**{_MAP: _ELSEWHERE})
            yield Connections(control, project, self.project_id)


def database_now(conn: sa.Connection) -> datetime:
    """The database's present instant, aware UTC: the one clock that several hosts share."""
    is_here = conn.dialect.name == "sqlite"  # a library in this very process: its clock is ours
    return datetime.now(UTC) if is_here else conn.execute(_ASK_CLOCK).scalar_one()


def now_to_write(conn: sa.Connection, *, plus_seconds: float = 0) -> sa.ColumnElement[datetime]:
    """The same, so many seconds later, as a value to write: PostgreSQL fills it in without being asked before."""
    later = timedelta(seconds=plus_seconds)
    if conn.dialect.name == "sqlite":
        return sa.literal(database_now(conn) + later, UtcDateTime())
    return sa.func.clock_timestamp(type_=sa.DateTime(timezone=True)) + later


def ask_with_time(
    conn: sa.Connection, query: sa.Select[Any], values: Mapping[str, Any]
) -> tuple[Sequence[Any], datetime] | None:
    """The one row of `query` (made once, kept by its maker) and the database's present instant, in one round trip; None
    where there is no row."""
    if conn.dialect.name == "sqlite":
        row = conn.execute(query, values).one_or_none()
        return None if row is None else (row, database_now(conn))
    row = conn.execute(_with_clock(query), values).one_or_none()
    return None if row is None else (row, row[-1])


@lru_cache(maxsize=_TEXTS)
def _with_clock(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.add_columns(_CLOCK)


def insert(conn: sa.Connection, table: sa.Table) -> SqliteInsert | PostgresInsert:
    """An INSERT that knows ON CONFLICT, which SQLAlchemy has in each dialect alone."""
    if conn.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _open_sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:" or url.query.get("mode") == "memory":
        raise DatabaseError(
            "a database in memory would forget the state, and no other process sees it",
            where=shown(url),
            fix="name a file: sqlite:////folder/state.sqlite",
        )
    path = Path(url.database).absolute()
    try:
        make_folder(path.parent)
    except OSError as error:
        raise DatabaseError(
            f"cannot make the database's folder: {error.strerror}",
            where=str(path.parent),
            fix="check the permissions of the folder above, or set AGENT_HOME to one that may be written",
        ) from error
    # Not added to the URL, which messages show.
    ours = {} if "timeout" in url.query else {"timeout": _BUSY_SECONDS}
    json_both_ways: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": reader_of_json(shown(url))}
    default = {_MAP: {PROJECT: None}}
    engine = sa.create_engine(url, connect_args=ours, execution_options=default, **json_both_ways)
    _remember_rendered(engine.dialect)
    sqlite_file.watch(engine, path)
    return engine


def _begin_sqlite(conn: sa.Connection, statement: str) -> None:
    """Begin by the driver itself: as a statement of SQLAlchemy's, or a listener of its events, it costs several times
    as much, in each of the many short transactions of a run."""
    driver: Any = conn.connection.driver_connection
    try:
        if statement != "BEGIN":
            sqlite_file.require_writable(conn.connection.info)
        driver.execute(statement)
    except driver.Error as error:
        raise sa.exc.DBAPIError.instance(statement, None, error, driver.Error, dialect=conn.dialect) from error


def _open_postgres(url: sa.URL) -> sa.Engine:
    schema = url.query.get("schema")
    if schema is not None:
        if not isinstance(schema, str) or not _SCHEMA_NAME.fullmatch(schema):
            raise DatabaseError(
                f"{schema!r} is no schema name",
                where=shown(url),
                fix="use lower-case letters, digits and underscores",
            )
        given = url.query.get("options", "")
        url = url.difference_update_query(["schema"]).update_query_dict(
            {"options": f"{given} -csearch_path={schema}".strip()}
        )
    options = {_MAP: {PROJECT: schema}}
    # The driver begins no transaction by itself: `writing` does so with its settings in one round trip instead of two.
    # The connection given back last is taken first: it has the statements prepared that a run repeats.
    engine = sa.create_engine(
        url, isolation_level="AUTOCOMMIT", pool_use_lifo=True, json_serializer=to_json, execution_options=options
    )
    sa.event.listen(engine, "checkin", _note_use)
    sa.event.listen(engine, "checkout", _try_out)
    _remember_rendered(engine.dialect)
    return engine


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = time.monotonic()


def _try_out(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Have a connection that lay idle replaced where the server is not there any more (it was restarted): what
    `pool_pre_ping` does, but not before each of the many transactions of a run."""
    used_at = record.info.get(_USED_AT)
    if used_at is None or time.monotonic() - used_at < _TRUSTED_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
    except Exception as error:
        raise sa.exc.InvalidatePoolError from error


def _remember_rendered(dialect: sa.Dialect) -> None:
    """Keep the texts of statements with the real schemas in them: SQLAlchemy puts those in again at each execution,
    which takes a fifth of a run's processor time."""
    preparer: Any = dialect.identifier_preparer
    render = getattr(preparer, _RENDER)

    @lru_cache(maxsize=_TEXTS)
    def rendered(statement: str, schema: str | None, _default: str | None) -> str:
        text: str = render(statement, {PROJECT: schema})
        return text

    def remembered(statement: str, schema_translate_map: Mapping[str, str | None]) -> str:
        return rendered(statement, schema_translate_map[PROJECT], dialect.default_schema_name)

    setattr(preparer, _RENDER, remembered)


@contextmanager
def translated(engine: sa.Engine) -> Iterator[None]:
    """Turn what the driver raises into an error that says where and how to fix it."""
    try:
        yield
    except _OF_THE_DRIVER as error:
        raise _readable(engine, error) from error


def _readable(engine: sa.Engine, error: sa.exc.DBAPIError | sa.exc.TimeoutError) -> DatabaseError:
    return readable(error, place_of(engine), secrets_in(engine.url))
