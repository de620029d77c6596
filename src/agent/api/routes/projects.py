"""/projects: folders with their own agent.toml, lake and state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from agent.api.errors import CHANGES, CONFLICT, NOT_FOUND
from agent.api.models import Name, ProjectGone, ProjectOut
from agent.api.server import ServerHere
from agent.api.strict import StrictRoute
from agent.errors import Untrusted
from agent.service import projects
from agent.service.removal import remove_project
from agent.store.control import projects as rows

router = APIRouter(route_class=StrictRoute, prefix="/projects", tags=["projects"])


@router.post("", status_code=201, responses=CHANGES | CONFLICT)
def create(
    server: ServerHere,
    name: Annotated[Name, Query(description="Unique.")],
    local_path: Annotated[str, Query(max_length=1000, description="Absolute; its folder is made where missing.")],
) -> ProjectOut:
    """Register a project. Its folder must lie below one of the configured roots (home and temporary folder)."""
    project = projects.create(server.database, server.settings, name=name, local_path=local_path, now=server.now())
    return ProjectOut.model_validate(project, from_attributes=True)


@router.get("")
async def listing(server: ServerHere) -> list[ProjectOut]:
    """All projects, the server's own (0) first."""
    found = await server.read(lambda at: rows.list_projects(at.control))
    return [ProjectOut.model_validate(one, from_attributes=True) for one in found]


@router.delete("/{project_id}", responses=CHANGES | CONFLICT | NOT_FOUND)
def remove(
    server: ServerHere,
    project_id: Annotated[int, Path(ge=0, le=2**31 - 1)],
    data: Annotated[bool, Query(description="Remove what it computed, too; needs the server's token.")] = False,
) -> ProjectGone:
    """Forget a project and its runs. Its folder stays, and so does what it computed unless `data` is true."""
    if data and not server.settings.api.token:
        raise Untrusted(
            "data are removed only by a server with a token",
            where="AGENT_API_TOKEN",
            fix="start the server with one (`agent serve --new-token`), or remove the project without its data",
        )
    gone = remove_project(server.settings, server.database, project_id, with_data=data)
    return ProjectGone(id=project_id, runs=gone.runs, data=gone.with_data, home=str(gone.home))


@router.get("/{project_id}", responses=NOT_FOUND)
async def one(server: ServerHere, project_id: Annotated[int, Path(ge=0, le=2**31 - 1)]) -> ProjectOut:
    """A project."""
    found = await server.read(lambda at: rows.load_project(at.control, project_id))
    return ProjectOut.model_validate(found, from_attributes=True)
