"""Projects: folders with their own agent.toml, lake and state, registered in the server's database.

A project's folder must lie in one of the configured roots, whatever links or dots its path is written with.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from agent.errors import UsageError
from agent.execution.workspace import Workspace, open_workspace
from agent.service.trust import require_trusted
from agent.settings import Settings
from agent.store import projects
from agent.store.engine import Database
from agent.store.projects import Project
from pipelines.discovery import forget_changed
from pipelines.private import make_folder

DEFAULT_PROJECT = 0


def create(database: Database, settings: Settings, *, name: str, local_path: str, now: datetime) -> Project:
    """Register a project; its folder is made where it is missing, and so are its tables.

    Raises UsageError for a path outside the roots or one that is no folder, Conflict where the name is taken, Untrusted where
    another user could change what is in it.
    """
    folder = confined(local_path, roots_of(settings))
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(
            f"cannot make the project's folder: {error.strerror}", where=local_path, mend="choose another local_path"
        ) from error
    confined(str(folder), roots_of(settings))  # a link put there meanwhile
    require_trusted(folder, Path(local_path).expanduser())
    with database.writing() as connections:
        return projects.create_project(connections.control, name=name, local_path=str(folder), now=now)


def roots_of(settings: Settings) -> tuple[Path, ...]:
    """Folders that projects may lie in: as set, else the home and the system's temporary folder."""
    named = settings.api.project_roots or (str(Path.home()), tempfile.gettempdir())
    return tuple(Path(root).expanduser().resolve() for root in named)


def confined(local_path: str, roots: Sequence[Path]) -> Path:
    """`local_path` with every link and dot resolved. Raises UsageError unless it then lies below one of `roots`."""
    if not local_path.strip() or "\0" in local_path or len(os.fsencode(local_path)) > 1000:
        raise UsageError("this is no path", where="local_path", mend="give the path of a folder, such as /tmp/test")
    written = Path(local_path).expanduser()
    if not written.is_absolute():
        raise UsageError("the path is not absolute", where=f"local_path = {local_path}", mend="start it with /")
    try:
        folder = written.resolve()
        is_folder = folder.is_dir() or not folder.exists()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"cannot follow the path: {error}", where="local_path", mend="choose another one") from error
    if not any(folder != root and folder.is_relative_to(root) for root in roots):
        raise UsageError(
            "a project cannot lie there",
            where=f"local_path = {local_path}",
            mend=f"choose a folder below {' or '.join(str(root) for root in roots)} ([api] project_roots)",
        )
    if not is_folder:
        raise UsageError("this is a file, not a folder", where=f"local_path = {local_path}", mend="choose another one")
    return folder


@contextmanager
def open_project(settings: Settings, database: Database, project_id: int) -> Iterator[Workspace]:
    """The workspace of a project, with the code and settings that are on disk now.

    `settings` and `database` are the server's. Raises NotFound, UsageError where its folder has left the roots,
    Untrusted where another user could change its code, and
    what `open_workspace` raises.
    """
    forget_changed()
    if project_id == DEFAULT_PROJECT:
        with open_workspace(settings.base) as workspace:
            yield workspace
        return
    with database.reading() as connections:
        project = projects.load_project(connections.control, project_id)
    folder = confined(project.local_path, roots_of(settings))
    require_trusted(folder, Path(project.local_path))
    with open_workspace(folder, control=settings, project_id=project_id) as workspace:
        yield workspace
