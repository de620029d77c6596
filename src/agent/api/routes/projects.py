"""/projects: folders with their own agent.toml, lake and state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from agent.api.errors import CHANGES, CONFLICT, NOT_FOUND
from agent.api.models import Name, ProjectOut
from agent.api.server import ServerHere
from agent.api.strict import StrictRoute
from agent.service import projects
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


@router.get("/{project_id}", responses=NOT_FOUND)
async def one(server: ServerHere, project_id: Annotated[int, Path(ge=0, le=2**31 - 1)]) -> ProjectOut:
    """A project."""
    found = await server.read(lambda at: rows.load_project(at.control, project_id))
    return ProjectOut.model_validate(found, from_attributes=True)
