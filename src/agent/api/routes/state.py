"""/api/state, /api/plan, /api/explain, /api/releases: what is recorded, what would run, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query

from agent.api.errors import CHANGES, CONFLICT, NOT_FOUND
from agent.api.models import ComponentState, Explanation, Mark, Name, PlanOut, ReleaseOut
from agent.api.server import Limit, ProjectId, ServerHere
from agent.api.strict import StrictRoute
from agent.core import model
from agent.core.explain import chain, dirty_text, plan_lines
from agent.core.model import State
from agent.core.plan_json import plan_to_json
from agent.errors import NotFound
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace
from agent.service.projects import DEFAULT_PROJECT
from agent.store import state
from agent.store.database.engine import Connections
from agent.store.outputs import releases

router = APIRouter(route_class=StrictRoute, prefix="/api", tags=["state"])
Component = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


@router.get("/state", responses=NOT_FOUND | CONFLICT)
async def states(server: ServerHere, project_id: ProjectId = 0) -> list[ComponentState]:
    """Every component: when it last ran, whether it is dirty and why, how often it failed."""
    found = await server.read(_states, project_id)
    if not found and project_id != DEFAULT_PROJECT:  # it was never opened: that writes its rows
        found = await server.with_project(project_id, _states_in)
    return [_shown(one) for one in found]


def _shown(row: model.State) -> ComponentState:
    whole = replace(row, dirty_reason=dirty_text(row))
    return ComponentState.model_validate(whole, from_attributes=True)


@router.post("/state/{component}/mark-dirty", responses=CHANGES | NOT_FOUND | CONFLICT)
async def mark_dirty(
    server: ServerHere, component: Component, mark: Mark | None = None, project_id: ProjectId = 0
) -> ComponentState:
    """Ask for a component, or some of its partitions, to be recomputed by the next run."""
    wanted = mark or Mark.model_validate({})
    keys = None if wanted.partitions is None else tuple(wanted.partitions)
    asked = model.Mark(model.BY_HTTP, reason=wanted.reason, partitions=keys)

    def do(workspace: Workspace) -> State:
        with workspace.database.writing() as connections:
            state.mark_dirty(connections.project, component, asked)
            return state.load_states(connections.project)[component]

    return _shown(await server.with_project(project_id, do))


@router.get("/plan", responses=NOT_FOUND | CONFLICT)
async def plan(
    server: ServerHere,
    target: Annotated[
        list[Name] | None, Query(max_length=100, description="Only these components and what they need.")
    ] = None,
    project_id: ProjectId = 0,
) -> PlanOut:
    """What a run would do now, why, and how long it may take. Runs nothing."""
    request = Request(targets=tuple(target or ()))

    def do(workspace: Workspace) -> PlanOut:
        found = think(workspace, Inspector(workspace), request, now=server.now()).plan
        return PlanOut(steps=json.loads(json.dumps(plan_to_json(found), default=str)), lines=plan_lines(found))

    return await server.with_project(project_id, do)


@router.get("/explain/{component}", responses=NOT_FOUND | CONFLICT)
async def explain(server: ServerHere, component: Component, project_id: ProjectId = 0) -> Explanation:
    """Why a component would run now, from the first cause (a file, a setting, a line of code, a person) down."""

    def do(workspace: Workspace) -> Explanation:
        if component not in workspace.specs:
            known = ", ".join(workspace.specs)
            raise NotFound(f"there is no component {component!r}", where="/api/explain", fix=f"known are: {known}")
        thought = think(workspace, Inspector(workspace), Request(targets=(component,)), now=server.now())
        steps = {step.component: step for step in thought.plan.steps}
        return Explanation.model_validate(
            {
                "component": component,
                "step": type(steps[component]).__name__.lower(),
                "sentences": chain(component, workspace.specs, steps),
            }
        )

    return await server.with_project(project_id, do)


@router.get("/releases", responses=NOT_FOUND | CONFLICT)
async def listing(server: ServerHere, limit: Limit = 20, project_id: ProjectId = 0) -> list[ReleaseOut]:
    """Releases, newest first."""
    found = await server.read(lambda at: releases.list_releases(at.project, limit), project_id)
    return [ReleaseOut.model_validate(one, from_attributes=True) for one in found]


@router.get("/releases/current", responses=NOT_FOUND | CONFLICT)
async def current(server: ServerHere, project_id: ProjectId = 0) -> ReleaseOut:
    """The release in force."""
    found = await server.read(lambda at: releases.current_release(at.project), project_id)
    if found is None:
        raise NotFound("nothing has been released yet", where="releases", fix="run the pipeline up to publish")
    return ReleaseOut.model_validate(found, from_attributes=True)


def _states(at: Connections) -> list[State]:
    return list(state.load_states(at.project).values())


def _states_in(workspace: Workspace) -> list[State]:
    with workspace.database.reading() as connections:
        return _states(connections)
