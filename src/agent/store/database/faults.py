"""What a database driver says, in words that help: which database, whether it may pass, and the fix."""

from __future__ import annotations

import sqlalchemy as sa

from agent.errors import DatabaseError, DatabaseUnavailable
from agent.masking import masked

_UPGRADE = "run `agent db upgrade` (or `alembic upgrade head`)"
_WAIT = "nothing was changed; try again"
_PERMISSION = "check that this user may write the file and its folder"
_ACCOUNT = "correct user and password in the database URL"
_SPACE = "free disk space, then run again; nothing was changed"
_DISK = "free disk space (SQLite says this also of a full disk), or look after the disk; nothing was changed"
_BROKEN = "restore a backup (`agent restore`), or move the file away: the next run makes a new one and recomputes"

# (SQLSTATE of PostgreSQL or its start, a part of the message, the fix, whether it may pass by itself)
_KNOWN: tuple[tuple[str, str, str, bool], ...] = (
    ("40001", "could not serialize", _WAIT, True),
    ("40P01", "deadlock detected", _WAIT, True),
    ("55P03", "database is locked", "another process is writing to it; " + _WAIT, True),
    ("55P03", "database table is locked", "another process is writing to it; " + _WAIT, True),
    ("53300", "too many clients", "raise max_connections, or stop what holds the connections", True),
    ("53300", "remaining connection slots", "raise max_connections, or stop what holds the connections", True),
    ("57P", "the database system is", "the server is starting or stopping; " + _WAIT, True),
    ("57P", "terminating connection", "the server is restarting; " + _WAIT, True),
    ("53100", "disk is full", _SPACE, False),
    ("53100", "no space left", _SPACE, False),
    ("", "disk i/o error", _DISK, False),
    ("42P01", "no such table", _UPGRADE, False),
    ("42703", "no such column", _UPGRADE, False),
    ("25006", "readonly database", _PERMISSION, False),
    ("42501", "permission denied", "let this user read and write the tables of the schema", False),
    ("", "unable to open database file", _PERMISSION, False),
    ("", "file is not a database", _BROKEN, False),
    ("XX001", "malformed", _BROKEN, False),
    ("28", "authentication failed", _ACCOUNT, False),
    ("28", "no password supplied", _ACCOUNT, False),
    ("28", "pg_hba.conf", "let this host and user in, in the server's pg_hba.conf", False),
    ("3D000", "does not exist", "create it on the server, or correct its name in the database URL", False),
)
_LOST = "check that the server runs and can be reached from here; what was not committed is done again"


def readable(
    error: sa.exc.DBAPIError | sa.exc.TimeoutError, where: str, secrets: tuple[str, ...] = ()
) -> DatabaseError:
    """A driver's error as ours. `where` is the database's URL without its password; `secrets` are kept out of it."""
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseUnavailable("every connection to the database is in use", where=where, fix=_WAIT)
    what = masked(_first_line(error), secrets)
    state = getattr(error.orig, "sqlstate", None) or ""
    for code, words, fix, passes in _KNOWN:
        if (state and code and state.startswith(code)) or (not state and words in what.lower()):
            return (DatabaseUnavailable if passes else DatabaseError)(what, where=where, fix=fix)
    # psycopg gives no SQLSTATE for a connection that was refused or cut.
    is_server = type(error.orig).__module__.startswith("psycopg")
    if (
        error.connection_invalidated
        or state.startswith("08")
        or (is_server and not state and isinstance(error, sa.exc.OperationalError))
    ):
        return DatabaseUnavailable(what, where=where, fix=_LOST)
    return DatabaseError(what, where=where, fix="run again with --debug to see the statement and its place in the code")


def is_missing_table(error: BaseException | None) -> bool:
    """Whether a driver's error says that a table is not there."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    return getattr(error.orig, "sqlstate", None) == "42P01" or str(error.orig).startswith("no such table")


def _first_line(error: sa.exc.DBAPIError) -> str:
    """The driver's message. libpq writes one line per address it tried: the last one names the cause."""
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    return lines[0] if lines else type(error.orig).__name__
