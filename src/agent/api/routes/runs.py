"""/runs: the queue, its runs and their events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from agent.api.errors import CHANGES, CONFLICT, NOT_FOUND
from agent.api.models import (
    Answer,
    AttemptOut,
    EventOut,
    RunIn,
    RunOut,
    RunPage,
    RunsCancelled,
    RunStatus,
    RunsToCancel,
    Utc,
)
from agent.api.server import Limit, Server, ServerHere
from agent.api.strict import StrictRoute
from agent.execution.cancel import cancel_run, cancel_runs
from agent.execution.story import log_lines
from agent.execution.workspace import Workspace
from agent.masking import masked
from agent.service import queue
from agent.store.control import attempts, events, runs
from agent.store.control.attempts import Attempt
from agent.store.control.events import EventRow
from agent.store.control.runs import FINAL, Run, Wanted
from agent.store.database.engine import Connections
from agent.store.database.urls import secrets_in

router = APIRouter(route_class=StrictRoute, prefix="/runs", tags=["runs"])
PERSON = "a person over HTTP"
_LOOK_SECONDS = 0.5
_KEEP_ALIVE_LOOKS = 30
_MOST_EVENTS = 1000
RunId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post("", status_code=201, responses=CHANGES | CONFLICT | NOT_FOUND | {200: {"model": RunOut}})
async def create(
    server: ServerHere,
    wanted: RunIn,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=200, description="The same key again gives the same run (200), not a new one."),
    ] = None,
) -> RunOut:
    """Queue a run. What its goal is taken for is in its first event (see docs/concepts/run-queue.md)."""
    run, is_new = await enqueue(server, wanted, idempotency_key)
    if not is_new:
        response.status_code = 200
    return _out(run)


async def enqueue(server: Server, wanted: RunIn, idempotency_key: str | None = None) -> tuple[Run, bool]:
    """Put what was asked for into the queue and wake the worker; returns the run and whether it is new."""

    def do(workspace: Workspace) -> tuple[Run, bool]:
        return queue.enqueue(
            server.database,
            project_id=wanted.project_id,
            goal=wanted.goal,
            intent=queue.intent_of(wanted.goal, wanted.targets, queue.components_of(workspace)),
            require_approval=wanted.require_approval,
            priority=wanted.priority,
            idempotency_key=idempotency_key,
            now=server.now(),
        )

    found = await server.with_project(wanted.project_id, do)
    server.worker.wake()
    return found


@router.get("")
async def listing(
    server: ServerHere,
    status: RunStatus | None = None,
    project_id: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only runs of this project.")] = None,
    created_after: Annotated[Utc | None, Query(description="Only runs created at this time or later.")] = None,
    created_before: Annotated[Utc | None, Query(description="Only runs created earlier than this.")] = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{0,8}$", description="From `next_cursor`.")] = None,
) -> RunPage:
    """Runs, newest first."""
    before_id = None if cursor is None else int(cursor)
    wanted = Wanted((status,) if status else (), project_id, created_after, created_before, before_id)
    found = await server.read(lambda at: runs.list_runs(at.control, wanted, limit=limit + 1))
    more = len(found) > limit
    return RunPage(runs=[_out(one) for one in found[:limit]], next_cursor=str(found[limit - 1].id) if more else None)


@router.post("/cancel", responses=CHANGES)
def cancel_many(server: ServerHere, which: RunsToCancel) -> RunsCancelled:
    """End many runs: those that wait at once, those that are being carried out within seconds."""
    wanted = Wanted(tuple(which.statuses), which.project_id, which.created_after, which.created_before)
    ended, more = cancel_runs(server.database, wanted, by=PERSON, now=server.now())
    return RunsCancelled(cancelled=ended, more=more)


@router.get("/{run_id}", responses=NOT_FOUND)
async def one(server: ServerHere, run_id: RunId) -> RunOut:
    """A run."""
    return _out(await server.read(lambda at: runs.load_run(at.control, run_id)))


@router.get("/{run_id}/attempts", responses=NOT_FOUND)
async def tries(server: ServerHere, run_id: RunId, limit: Limit = _MOST_EVENTS) -> list[AttemptOut]:
    """The tries of components in a run, in order, each with its error and traceback."""

    def look(at: Connections) -> list[Attempt]:
        runs.load_run(at.control, run_id)
        return attempts.list_attempts(at.control, run_id, limit)

    return [_attempt_out(server, one) for one in await server.read(look)]


@router.get("/{run_id}/events", responses=NOT_FOUND)
async def history(
    server: ServerHere,
    run_id: RunId,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only events with a larger `seq`.")] = 0,
    limit: Limit = _MOST_EVENTS,
) -> list[EventOut]:
    """What happened in a run, in order."""
    _, found = await server.read(partial(_look, run_id=run_id, after=after, limit=limit))
    return [EventOut.model_validate(event, from_attributes=True) for event in found]


@router.get(
    "/{run_id}/log",
    responses=NOT_FOUND | {200: {"content": {"text/plain": {}}}},
    response_class=Response,
)
async def log(server: ServerHere, run_id: RunId) -> Response:
    """The log of a run as text: a line per event, and the traceback below each attempt that failed."""

    def look(at: Connections) -> list[str]:
        _, happened = _look(at, run_id=run_id, after=0)
        return log_lines(happened, attempts.list_attempts(at.control, run_id, _MOST_EVENTS))

    text = "\n".join(await server.read(look)) + "\n"
    return PlainTextResponse(masked(text, secrets_in(server.database.control.url)))


@router.get(
    "/{run_id}/events/stream",
    responses=NOT_FOUND
    | {200: {"content": {"text/event-stream": {}}}, 204: {"description": "Everything was sent: do not reconnect."}},
    response_class=Response,
)
async def stream(
    server: ServerHere,
    request: Request,
    run_id: RunId,
    last_event_id: Annotated[int, Header(ge=0, le=2**31 - 1, description="Go on after this `seq`.")] = 0,
) -> Response:
    """Events as they happen, as server-sent events (`id` is the `seq`, `event` the type), until the run is over."""
    run, found = await server.read(partial(_look, run_id=run_id, after=last_event_id))
    if run.status in FINAL and not found:
        return Response(status_code=204)
    return StreamingResponse(_told(server, request, run_id, last_event_id), media_type="text/event-stream")


@router.post("/{run_id}/cancel", responses=CHANGES | CONFLICT | NOT_FOUND)
def cancel(server: ServerHere, run_id: RunId) -> RunOut:
    """End a run: at once where it waits, within seconds where it is being carried out (`cancel_requested`)."""
    return _out(cancel_run(server.database, run_id, by=PERSON, now=server.now()))


@router.post("/{run_id}/retry", status_code=201, responses=CHANGES | CONFLICT | NOT_FOUND)
async def retry(server: ServerHere, run_id: RunId) -> RunOut:
    """Queue a run again that is over: a new run of the same goal and targets, which computes what is stale by then."""
    run = await asyncio.to_thread(queue.retry, server.database, run_id, now=server.now())
    server.worker.wake()
    return _out(run)


@router.post("/{run_id}/approve", responses=CHANGES | CONFLICT | NOT_FOUND)
def approve(server: ServerHere, run_id: RunId, answer: Answer | None = None) -> RunOut:
    """Let a run that waits for approval go ahead."""
    reason = None if answer is None else answer.reason
    run = queue.approve(server.database, run_id, by=PERSON, reason=reason, now=server.now())
    server.worker.wake()
    return _out(run)


@router.post("/{run_id}/reject", responses=CHANGES | CONFLICT | NOT_FOUND)
def reject(server: ServerHere, run_id: RunId, answer: Answer | None = None) -> RunOut:
    """End a run that waits for approval."""
    reason = None if answer is None else answer.reason
    return _out(queue.reject(server.database, run_id, by=PERSON, reason=reason, now=server.now()))


async def _told(server: Server, request: Request, run_id: int, after: int) -> AsyncIterator[str]:
    silent = 0
    while not request.app.state.leaving.is_set():
        run, found = await server.read(partial(_look, run_id=run_id, after=after))
        for event in found:
            after = event.seq
            body = EventOut.model_validate(event, from_attributes=True).model_dump(mode="json")
            yield f"id: {event.seq}\nevent: {event.type}\ndata: {json.dumps(body)}\n\n"
        if run.status in FINAL and not found:
            return
        silent = 0 if found else silent + 1
        if silent % _KEEP_ALIVE_LOOKS == _KEEP_ALIVE_LOOKS - 1:
            yield ": still here\n\n"
        if not found:
            await asyncio.sleep(_LOOK_SECONDS)


def _look(at: Connections, *, run_id: int, after: int, limit: int = _MOST_EVENTS) -> tuple[Run, list[EventRow]]:
    run = runs.load_run(at.control, run_id)
    return run, events.load_events(at.control, run_id, after, limit)


def _attempt_out(server: Server, one: Attempt) -> AttemptOut:
    secrets = secrets_in(server.database.control.url)

    def hide(text: str | None) -> str | None:
        return None if text is None else masked(text, secrets)

    shown = replace(one, error=hide(one.error), traceback=hide(one.traceback))
    return AttemptOut.model_validate(shown, from_attributes=True)


def _out(run: Run) -> RunOut:
    return RunOut.model_validate(run, from_attributes=True)
