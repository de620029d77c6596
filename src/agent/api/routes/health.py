"""/healthz, /readyz and /metrics: for whoever watches the server."""

from __future__ import annotations

import asyncio
import os

from fastapi import APIRouter, Response

from agent.api.models import Ready
from agent.api.server import Server, ServerHere
from agent.api.strict import StrictRoute
from agent.errors import DatabaseError
from agent.execution.row_account import accounts_in, ticks_of
from agent.store.control import measures
from agent.store.database import migrations
from pipelines.errors import LakeError
from pipelines.lake import Lake

router = APIRouter(route_class=StrictRoute, tags=["health"])


@router.get("/healthz")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Ready, "description": "Something the server needs is missing."}})
async def ready(server: ServerHere, response: Response) -> Ready:
    """Whether the server can work: database, migrations and lake."""
    database = migrated = "ok"
    try:
        await server.read(lambda at: measures.count_queued(at.control))
    except DatabaseError as error:
        database = migrated = error.what
    else:
        try:
            await server.read(lambda at: migrations.require_current(at.control))
        except DatabaseError as error:
            migrated = error.what
    lake = _lake_fault(server) or "ok"
    found = Ready(
        ready=(database, migrated, lake) == ("ok", "ok", "ok"), database=database, migrations=migrated, lake=lake
    )
    response.status_code = 200 if found.ready else 503
    return found


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(server: ServerHere) -> Response:
    """Figures in Prometheus' text format."""
    found, ticks = await server.read(lambda at: (measures.measure(at.control), ticks_of(at)), is_long=True)
    try:
        lake = Lake(server.settings.lake_path)
        rows = [] if ticks is None else await asyncio.to_thread(accounts_in, lake, ticks)
    except LakeError:
        rows = []  # `agent checks` reports it
    return Response(server.metrics.exposition(found, rows, server.now()), media_type="text/plain; version=0.0.4")


def _lake_fault(server: Server) -> str | None:
    """Why nothing could be written to the lake; None where it could. A lake not made yet needs a home that is."""
    folder = server.settings.lake_path
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written"
