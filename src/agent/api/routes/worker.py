"""/worker: the worker of this server process."""

from __future__ import annotations

from fastapi import APIRouter

from agent.api.errors import CHANGES
from agent.api.models import Triggered, WorkerStatus
from agent.api.server import ServerHere
from agent.api.strict import StrictRoute
from agent.store.control import measures

router = APIRouter(route_class=StrictRoute, prefix="/worker", tags=["worker"])


@router.get("/status")
async def status(server: ServerHere) -> WorkerStatus:
    """Whether this server works off the queue, and how often it looks."""
    return WorkerStatus(running=server.worker.running, check_interval=server.settings.worker.check_interval)


@router.post("/process", status_code=202, responses=CHANGES)
async def process(server: ServerHere) -> Triggered:
    """Look into the queue now, also where this server's worker is off: then one batch is worked off."""
    queued = await server.read(lambda at: measures.count_queued(at.control))
    server.worker.trigger()
    return Triggered(queued=queued)
