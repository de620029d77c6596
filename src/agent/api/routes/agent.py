"""/api/agent: the background runner."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from agent.api.errors import CHANGES, CONFLICT
from agent.api.leaving import unless_leaving
from agent.api.models import AgentRunResult, AgentStatus, IntervalUpdate, IntervalUpdated, Moved, Started
from agent.api.server import ServerHere
from agent.api.strict import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/api/agent", tags=["agent"])


@router.get("/status")
async def status(server: ServerHere) -> AgentStatus:
    """How the background runner stands."""
    return AgentStatus.model_validate(server.runner.get_status())


@router.post("/start", responses=CHANGES | CONFLICT)
async def start(server: ServerHere) -> Started:
    """Start the runner; the first cycle comes one interval from now."""
    next_run = await server.runner.start()
    minutes = server.runner.interval_minutes
    return Started(message=f"Agent started with {minutes} minute interval", next_run=next_run)


@router.post("/stop", responses=CHANGES | CONFLICT)
async def stop(
    request: Request,
    server: ServerHere,
    cancel: Annotated[bool, Query(description="Cancel a cycle that is being carried out, instead of its end.")] = False,
) -> Moved:
    """Stop the runner. The answer comes when nothing runs any more."""
    await unless_leaving(request.app.state.leaving, server.runner.stop(cancel=cancel))
    return Moved(status="stopped", message="Agent stopped successfully")


@router.post("/pause", responses=CHANGES | CONFLICT)
async def pause(request: Request, server: ServerHere) -> Moved:
    """Begin no more cycles until resumed."""
    await unless_leaving(request.app.state.leaving, server.runner.pause())
    return Moved(status="paused", message="Agent paused")


@router.post("/resume", responses=CHANGES | CONFLICT)
async def resume(request: Request, server: ServerHere) -> Moved:
    """Go on after a pause."""
    await unless_leaving(request.app.state.leaving, server.runner.resume())
    return Moved(status="resumed", message="Agent resumed")


@router.post("/run-once", responses=CHANGES | CONFLICT)
async def run_once(
    request: Request,
    server: ServerHere,
    wait: Annotated[bool, Query(description="While a cycle is being carried out: wait for its end, not 409.")] = False,
) -> AgentRunResult:
    """Carry out a cycle now; the answer comes at its end. A failed one is reported in `success` and `error`."""
    result = await unless_leaving(request.app.state.leaving, server.runner.run_once(wait=wait))
    return AgentRunResult.model_validate(result)


@router.put("/interval", responses=CHANGES)
async def interval(server: ServerHere, update: IntervalUpdate) -> IntervalUpdated:
    """Set the interval; the next cycle comes one interval from now."""
    await server.runner.update_interval(update.interval_minutes)
    minutes = update.interval_minutes
    return IntervalUpdated(interval_minutes=minutes, message=f"Interval updated to {minutes} minutes")
