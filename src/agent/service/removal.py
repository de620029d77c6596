"""Removing a project: its row and its runs and, only where asked for, what it computed. Its folder is never touched."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.errors import Conflict
from agent.execution import lake_owner
from agent.runtime import retention
from agent.service.projects import DEFAULT_PROJECT, open_tables
from agent.settings import Settings, for_project
from agent.store import lake_identity
from agent.store.control import projects, runs
from agent.store.control.projects import Project
from agent.store.control.runs import Wanted
from agent.store.database.engine import Database
from pipelines.errors import LakeError
from pipelines.values import dataclass

_OPEN = ("QUEUED", "AWAITING_APPROVAL", "RUNNING")


@dataclass(frozen=True)
class Removed:
    """What was removed: how many runs; whether the files in `home` went, too."""

    runs: int
    home: Path
    with_data: bool


def remove_project(settings: Settings, database: Database, project_id: int, *, with_data: bool) -> Removed:
    """Forget a project with its runs, their events and attempts. `settings` and `database` are the server's.

    with_data: remove its home as well, with lake, releases and state, after a look that the lake there is this
    project's own. Raises NotFound, Conflict for the server's own project, for one with runs that are not over, and for
    a home that is not the project's alone; LakeError where files could not be removed: the rows are gone then.
    """
    with database.reading() as connections:
        project = projects.load_project(connections.control, project_id)
    if project_id == DEFAULT_PROJECT:
        raise Conflict("this is the server's own project", where="project 0", fix="remove one that was registered")
    folder = Path(project.local_path)
    home = for_project(folder, settings, project_id).home
    if with_data:
        _require_removable(settings, database, project, home)
    with database.writing() as connections:
        control = connections.control
        projects.lock_projects(control)
        unfinished = runs.list_runs(control, Wanted(_OPEN, project_id), limit=1)
        if unfinished:
            raise Conflict(
                f"run {unfinished[0].id} is not over: it is {unfinished[0].status}",
                where=f"project {project_id}",
                fix=f'end its runs first: POST /runs/cancel {{"project_id": {project_id}}}',
            )
        count = projects.delete_project(control, project_id, retention.schedule_of(project_id))
        if with_data:
            projects.drop_schema(control, project_id)
    if with_data:
        _remove(home)
    return Removed(count, home, with_data)


def _require_removable(settings: Settings, database: Database, project: Project, home: Path) -> None:
    """Raise Conflict unless `home` is a folder of the project's own below its folder, reached through no link, whose
    lake is that of the project's database."""
    where = f"project {project.name!r}, {home}"
    folder = Path(project.local_path)
    if home.is_symlink() or home.resolve() == folder.resolve() or not home.resolve().is_relative_to(folder.resolve()):
        raise Conflict(
            "its home is not a folder of its own below the project's folder, so nothing was removed",
            where=where,
            fix="remove the project without its data, and the files by hand",
        )
    if not home.exists():
        return
    with open_tables(settings, database, project.id) as own, own.reading() as connections:
        mine = lake_identity.load(connections.project)
    lake = home / "lake"
    if mine is None and not lake_owner.is_claimed(lake):
        return  # nothing was ever computed
    if mine is None or not lake_owner.is_claimed(lake):
        raise Conflict(
            "its lake does not say that it is this database's, so nothing was removed",
            where=where,
            fix="remove the project without its data, and the files by hand",
        )
    lake_owner.require(lake, mine)


def _remove(home: Path) -> None:
    if not home.exists():
        return
    try:
        shutil.rmtree(home)  # follows no link, and refuses one in its own place
    except OSError as error:
        raise LakeError(
            f"the project is removed, but not all of its files: {error.strerror or error}",
            where=str(home),
            fix="remove what is left by hand",
        ) from error
