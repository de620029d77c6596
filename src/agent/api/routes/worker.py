"""/worker: the worker of this server process."""

from __future__ import annotations

from fastapi import APIRouter

from agent.api.errors import CHANGES
from agent.api.models import Triggered, WorkerStatus
from agent.api.server import ServerHere
from agent.store.control import measures

router = APIRouter(prefix="/worker", tags=["worker"])


@router.get("/status")
async def status(server: ServerHere) -> WorkerStatus:
    """Whether this server works off the queue, and how often it looks."""
    return WorkerStatus(running=server.worker.running, check_interval=server.settings.worker.check_interval)


@router.post("/process", status_code=202, responses=CHANGES)
def process(server: ServerHere) -> Triggered:
    """Look into the queue now, also where this server's worker is off: then one batch is worked off."""
    with server.reading() as connections:
        queued = measures.count_queued(connections.control)
    server.worker.trigger()
    return Triggered(queued=queued)
