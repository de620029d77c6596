"""Brings a database's tables to this program's version, and refuses one that is older or newer.

alembic is imported only where something is to be done: a run with nothing to do compares one row with a file name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

import agent
from agent.errors import DatabaseError
from agent.store.database.engine import open_engine, place_of, reading, schema_of, writing
from agent.store.database.faults import is_missing_table

if TYPE_CHECKING:
    from alembic.config import Config

_FILE = re.compile(r"(\d{4})_\w+\.py")
_FIX = "run `agent db upgrade` (or `alembic upgrade head`)"
_LOCK = 7_465_100  # any number that no one else uses as an advisory lock in this database


def folder() -> Path:
    """Where the migrations lie: agent/migrations in an installed wheel, alembic/ in a checkout."""
    installed = Path(agent.__file__).parent / "migrations"
    return installed if installed.is_dir() else Path(agent.__file__).parents[2] / "alembic"


def revisions() -> tuple[str, ...]:
    """Numbers of all migrations this program has, oldest first."""
    found = (_FILE.fullmatch(path.name) for path in (folder() / "versions").iterdir())
    return tuple(sorted(match[1] for match in found if match is not None))


def ensure_current(engine: sa.Engine, *, automatic: bool) -> None:
    """Return with the tables at this program's version: upgraded if `automatic`, else they must be so already.

    Raises DatabaseError where they are older and not to be upgraded, or newer than this program.
    """
    found = _known_revision(engine)
    if found == revisions()[-1]:
        return
    if automatic:
        upgrade(engine)
        return
    raise _too_old(engine, found)


def require_current(conn: sa.Connection) -> None:
    """Return where the tables are at this program's version. Raises DatabaseError where they are older or newer, and
    the driver's error where there are none."""
    found = conn.scalar(_ask_for_revision(conn.engine))
    _require_known(conn.engine, found)
    if found != revisions()[-1]:
        raise _too_old(conn.engine, found)


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the tables to `revision`, in one transaction. Several processes may do so at once: one works, all go on.

    Raises DatabaseError where they are newer than this program."""
    from alembic import command

    _known_revision(engine)
    with migrating(engine) as conn:
        command.upgrade(_config(conn), revision)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Take the tables back to `revision` ("base": remove them all), in one transaction. Their data is lost.

    Raises DatabaseError where they are newer than this program."""
    from alembic import command

    _known_revision(engine)
    with migrating(engine) as conn:
        command.downgrade(_config(conn), revision)


def load_at(engine: sa.Engine, revision: str, load: Callable[[sa.Connection], None]) -> None:
    """Bring the tables to `revision`, let `load` fill them, and bring them to this program's version, in one
    transaction. Raises DatabaseError where this program does not know `revision`."""
    from alembic import command

    if revision not in revisions():
        raise DatabaseError(
            f"the data are of version {revision}, newer than this program, which knows {revisions()[-1]}",
            where=place_of(engine),
            fix="install the newer version of tidemill that wrote them; nothing was changed",
        )
    found = _revision(engine)
    with migrating(engine) as conn:
        config = _config(conn)
        if found is not None and found > revision:
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
        load(conn)
        command.upgrade(config, "head")


@contextmanager
def migrating(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A writing transaction in which tables may be changed and no other process changes them."""
    if engine.dialect.name == "sqlite":
        # Changing a table means rebuilding it in SQLite, and with foreign keys on, dropping the old one deletes what
        # refers to it. The switch has no effect within a transaction, so a connection is prepared before.
        own = open_engine(engine.url.render_as_string(hide_password=False))
        sa.event.listen(own, "connect", lambda connection, _record: connection.execute("PRAGMA foreign_keys = OFF"))
        try:
            with writing(own) as conn:
                yield conn
        finally:
            own.dispose()
        return
    with writing(engine) as conn:
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _enter_schema(conn)
        yield conn


def _enter_schema(conn: sa.Connection) -> None:
    """Let the transaction find and make tables in the engine's schema, which is made where it is missing.

    By the search path: what a migration says is not mapped as the statements of agent.store.tables are.
    """
    schema: str | None = schema_of(conn.engine)
    if schema is not None:
        # Asked first: IF NOT EXISTS wants the right to make schemas even where there is nothing to make.
        if conn.scalar(sa.text("SELECT to_regnamespace(:schema)"), {"schema": schema}) is None:
            conn.execute(sa.schema.CreateSchema(schema))
        conn.execute(sa.text(f"SET LOCAL search_path TO {schema}"))
    elif conn.scalar(sa.text("SELECT current_schema()")) is None:
        name: str = conn.scalar(sa.text("SHOW search_path")) or ""
        if not name.isidentifier():
            raise DatabaseError(
                f"there is no schema to make tables in: the search path is {name}",
                where=place_of(conn.engine),
                fix="make one of them, or name another one in the URL: ?schema=tidemill",
            )
        conn.execute(sa.schema.CreateSchema(name))
        conn.dialect.default_schema_name = name  # asked for once, when the first connection was made


def _known_revision(engine: sa.Engine) -> str | None:
    """As `_revision`. Raises DatabaseError where the tables are newer than this program."""
    found = _revision(engine)
    _require_known(engine, found)
    return found


def _revision(engine: sa.Engine) -> str | None:
    """The version the tables are at; None where there are none."""
    try:
        with reading(engine) as conn:
            found: str | None = conn.scalar(_ask_for_revision(engine))
            return found
    except DatabaseError as error:
        if is_missing_table(error.__cause__):
            return None
        raise


def _ask_for_revision(engine: sa.Engine) -> sa.Select[str]:
    version: sa.ColumnClause[str] = sa.column("version_num")
    return sa.select(version).select_from(sa.table("alembic_version", version, schema=schema_of(engine)))


def _require_known(engine: sa.Engine, found: str | None) -> None:
    known = revisions()
    if found is not None and found not in known:
        raise DatabaseError(
            f"the database is at version {found}, newer than this program, which knows {known[-1]}",
            where=place_of(engine),
            fix="install the newer version of tidemill that made it; nothing was changed",
        )


def _too_old(engine: sa.Engine, found: str | None) -> DatabaseError:
    what = "has no tables yet" if found is None else f"is at version {found}, this program needs {revisions()[-1]}"
    return DatabaseError(f"the database {what}", where=place_of(engine), fix=_FIX)


def _config(conn: sa.Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    config.attributes["connection"] = conn  # see alembic/env.py
    return config
