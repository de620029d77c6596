"""One lake, one database: a file in the lake says which, and whoever commits or deletes looks at it first.

Two databases over one lake would each take the other's files for garbage.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from agent.errors import Conflict
from agent.execution import reserve
from agent.store import lake_identity
from agent.store.database.engine import Connections, Database
from pipelines.errors import LakeError
from pipelines.lake import OWNER_FILE, fsync_folder
from pipelines.private import FILE_MODE, make_folder


def claim(database: Database, lake: Path) -> None:
    """Before the first file is written: make the lake this database's, unless it is so already.

    Raises Conflict where it is another one's, LakeError where it cannot be written.
    """
    with database.reading() as connections:
        mine = lake_identity.load(connections.project)
    if mine is None:  # committed before the file is there: a file that no database knows would be refused for ever
        with database.writing() as connections:
            mine = lake_identity.make(connections.project)
    if _written(lake) is None:
        _write(lake, mine)
    reserve.keep(lake.parent)
    require(lake, mine)


def require_own(connections: Connections, lake: Path) -> None:
    """Raise Conflict where the lake is another database's. A lake of before there were owners passes."""
    require(lake, lake_identity.load(connections.project))


def is_claimed(lake: Path) -> bool:
    """Whether the lake is some database's."""
    return _written(lake) is not None


def replace(lake: Path, identity: str) -> None:
    """Make the lake that of `identity`, whosever it was: what a restore does, which replaced all that is in it."""
    (lake / OWNER_FILE).unlink(missing_ok=True)
    _write(lake, identity)


def require(lake: Path, mine: str | None) -> None:
    """As `require_own`, for the database that calls itself `mine`."""
    found = _written(lake)
    if found is not None and found != mine:
        raise Conflict(
            "lake and database do not belong together: the lake is another database's; nothing was written or removed",
            where=str(lake / OWNER_FILE),
            fix="give each project an AGENT_HOME of its own, or correct AGENT_DATABASE_URL; "
            "if the database was replaced on purpose, remove this file once nothing else uses the lake",
        )


def _written(lake: Path) -> str | None:
    try:
        return (lake / OWNER_FILE).read_text(encoding="ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):  # writing it says what is wrong
        return None


def _write(lake: Path, identity: str) -> None:
    """Write the file whole, unless another process was first."""
    path = lake / OWNER_FILE
    draft = lake / f"{OWNER_FILE}.{os.getpid()}"
    try:
        make_folder(lake)
        fsync_folder(lake.parent)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "w", encoding="ascii") as file:
            file.write(identity)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        fsync_folder(lake)
    except OSError as error:
        raise LakeError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            fix="free disk space or check the folder's permissions, then run again; nothing was changed",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
