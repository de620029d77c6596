"""Projects: folders with their own agent.toml, lake and state, registered in the server's database.

A project's folder must lie in one of the configured roots, whatever links or dots its path is written with.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from agent.errors import Conflict, NotFound, UsageError
from agent.execution.host.planners import Planners
from agent.execution.workspace import Workspace, open_database, open_workspace
from agent.service.trust import require_trusted
from agent.settings import Settings, for_project
from agent.store.control import projects, runs
from agent.store.control.projects import Project
from agent.store.database.engine import Database
from agent.store.database.urls import key_of
from pipelines.errors import SettingsError
from pipelines.private import make_folder
from pipelines.values import dataclass

DEFAULT_PROJECT = 0
# The projects' own processes: this one may live long, and never imports what they consist of.
PLANNERS = Planners()
atexit.register(PLANNERS.close)


def create(database: Database, settings: Settings, *, name: str, local_path: str, now: datetime) -> Project:
    """Register a project; its folder is made where it is missing, and so are its tables.

    Raises UsageError for a path outside the roots or one that is no folder, Conflict where the name, the folder, the
    home or the database is taken, Untrusted where another user could change what is in it.
    """
    folder = confined(local_path, roots_of(settings))
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(
            f"cannot make the project's folder: {error.strerror}", where=local_path, fix="choose another local_path"
        ) from error
    confined(str(folder), roots_of(settings))  # a link put there meanwhile
    require_trusted(folder, _expanded(local_path, "local_path"))
    with database.writing() as connections:
        projects.lock_projects(connections.control)
        others = projects.list_projects(connections.control)
        made = projects.create_project(connections.control, name=name, local_path=str(folder), now=now)
        _require_own_place(settings, made, others)
    return made


def roots_of(settings: Settings) -> tuple[Path, ...]:
    """Folders that projects may lie in: as set, else the home and the system's temporary folder. Raises UsageError."""
    named = settings.api.project_roots or (*_home(), tempfile.gettempdir())
    return tuple(_expanded(root, "[api] project_roots").resolve() for root in named)


def _home() -> tuple[str, ...]:
    """This user's home; none in a container whose user is a mere number."""
    with suppress(RuntimeError):
        return (str(Path.home()),)
    return ()


def _expanded(path: str, where: str) -> Path:
    """`path` with a ~ at its start resolved. Raises UsageError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"whose home is meant is not known: {path}", where=where, fix="write the whole path, from / on"
        ) from error


def confined(local_path: str, roots: Sequence[Path]) -> Path:
    """`local_path` with every link and dot resolved. Raises UsageError unless it then lies below one of `roots`."""
    if not local_path.strip() or "\0" in local_path or len(os.fsencode(local_path)) > 1000:
        raise UsageError("this is no path", where="local_path", fix="give the path of a folder, such as /tmp/test")
    written = _expanded(local_path, "local_path")
    if not written.is_absolute():
        raise UsageError("the path is not absolute", where=f"local_path = {local_path}", fix="start it with /")
    try:
        folder = written.resolve()
        is_folder = folder.is_dir() or not folder.exists()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"cannot follow the path: {error}", where="local_path", fix="choose another one") from error
    if not any(folder != root and folder.is_relative_to(root) for root in roots):
        raise UsageError(
            "a project cannot lie there",
            where=f"local_path = {local_path}",
            fix=f"choose a folder below {' or '.join(str(root) for root in roots)} ([api] project_roots)",
        )
    if not is_folder:
        raise UsageError("this is a file, not a folder", where=f"local_path = {local_path}", fix="choose another one")
    return folder


def _require_own_place(settings: Settings, project: Project, others: Sequence[Project]) -> None:
    """Raise Conflict where folder, home or database of `project` is the server's or that of one of `others`: whoever
    tidies up there would take the other one's files for its own."""
    folder = Path(project.local_path).resolve()
    if folder == settings.base:
        raise _taken("the folder is the server's own", project, "use project 0, or choose another folder")
    for other in others:
        if other.id != DEFAULT_PROJECT and Path(other.local_path).resolve() == folder:
            raise _taken(f"the folder is that of project {other.id} ({other.name!r})", project, "use that project")
    if folder.is_relative_to(settings.home.resolve()):
        raise _taken("the folder lies in the server's home", project, "choose a folder outside of it")
    own = _place_of(settings, project)
    if own is None:
        return  # opening it says what is wrong with its settings
    for whose, place in _places(settings, [other for other in others if other.id != project.id]):
        if own.home.is_relative_to(place.home) or place.home.is_relative_to(own.home):
            raise _taken(f"its home {own.home} is {whose}, or lies within it", project, "give it a home of its own")
        if own.database == place.database:
            raise _taken(f"its database is {whose}", project, "give it a database or ?schema= of its own")


@dataclass(frozen=True)
class _Place:
    """Where a project's files and rows lie."""

    home: Path
    database: tuple[str, ...]


def _place_of(settings: Settings, project: Project) -> _Place | None:
    try:
        own = for_project(Path(project.local_path), settings, project.id)
    except SettingsError:
        return None
    return _Place(own.home.resolve(), key_of(own.database_url))


def _places(settings: Settings, projects: Sequence[Project]) -> Iterator[tuple[str, _Place]]:
    """The server's place and those of other projects whose settings can be read."""
    yield "the server's", _Place(settings.home.resolve(), key_of(settings.database_url))
    for other in projects:
        place = None if other.id == DEFAULT_PROJECT else _place_of(settings, other)
        if place is not None:
            yield f"that of project {other.id}", place


def _taken(what: str, project: Project, fix: str) -> Conflict:
    return Conflict(what, where=f"project {project.name!r}, {project.local_path}", fix=fix)


def _require_there(settings: Settings, database: Database, project: Project, folder: Path) -> None:
    """Raise NotFound where the project's folder, or the home of one that has run, is gone: a disk that is not mounted.
    Made again, empty, it would look like a project that has computed nothing."""
    fix = "mount the disk that it lies on; nothing was made in its place"
    if not folder.is_dir():
        raise NotFound("the project's folder is gone", where=str(folder), fix=fix)
    home = for_project(folder, settings, project.id).home
    if home.is_dir():
        return
    with database.reading() as connections:
        done = runs.Wanted(("COMPLETED",), project.id)
        has_run = runs.list_runs(connections.control, done, limit=1)
    if has_run:
        again = f"{fix} (to compute everything again, make the folder yourself)"
        raise NotFound("the home of a project that has run is gone", where=str(home), fix=again)


@contextmanager
def open_project(settings: Settings, database: Database, project_id: int) -> Iterator[Workspace]:
    """The workspace of a project, with the code and settings that are on disk now, its code in its own process.

    `settings` and `database` are the server's. Raises NotFound (also where its folder is gone), UsageError where that
    has left the roots, Conflict where folder, home or database is another project's, Untrusted where another user could
    change its code, and what `open_workspace` raises.
    """
    if project_id == DEFAULT_PROJECT:
        with open_workspace(settings.base, hosts=PLANNERS) as workspace:
            yield workspace
        return
    folder = _folder_of(settings, database, project_id)
    with open_workspace(folder, control=settings, project_id=project_id, hosts=PLANNERS) as workspace:
        yield workspace


@contextmanager
def open_tables(settings: Settings, database: Database, project_id: int) -> Iterator[Database]:
    """The databases of a project other than the default one, without its code. Raises as `open_project`."""
    folder = _folder_of(settings, database, project_id)
    own = for_project(folder, settings, project_id)
    with open_database(own, control=settings, project_id=project_id) as opened:
        yield opened


def _folder_of(settings: Settings, database: Database, project_id: int) -> Path:
    with database.reading() as connections:
        project = projects.load_project(connections.control, project_id)
        earlier = [one for one in projects.list_projects(connections.control) if one.id < project_id]
    folder = confined(project.local_path, roots_of(settings))
    require_trusted(folder, Path(project.local_path))
    _require_there(settings, database, project, folder)
    _require_own_place(settings, project, earlier)
    return folder
