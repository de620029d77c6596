"""Errors of the rooms below as answers: one shape for all of them, and the status that fits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agent.api.models import Problem
from agent.api.rendering import missing
from agent.errors import Busy, Conflict, DatabaseError, Leaving, NotFound, Untrusted, UsageError
from agent.execution.host.interface import CodeMoved, ProjectBusy, ProjectDied
from pipelines.errors import PipelineError, SettingsError

if TYPE_CHECKING:
    from starlette.responses import Response

logger = logging.getLogger("tidemill.api")

_RETRY_SECONDS = 5  # for a project whose process is busy
# The first kind that fits counts.
_STATUS: tuple[tuple[type[PipelineError], int], ...] = (
    (ProjectBusy, 503),
    (CodeMoved, 503),
    (ProjectDied, 409),  # what is asked for is fine, the project's code is not
    (NotFound, 404),
    (Conflict, 409),
    (Untrusted, 403),
    (Busy, 409),
    (UsageError, 422),
    (SettingsError, 409),  # what is asked for is fine, the project's agent.toml is not
    (DatabaseError, 503),
    (Leaving, 503),
)
RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The token is missing or wrong."},
    403: {
        "model": Problem,
        "description": "Not this machine or user, another site's page, or a project that others could change.",
    },
    422: {"model": Problem, "description": "The request does not say what it should."},
    503: {
        "model": Problem,
        "description": "The database, or the project's process, does not answer now, or the server is stopping.",
    },
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such thing."}}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "Not possible in this state."}}
CHANGES: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body cannot be read."},
    413: {"model": Problem, "description": "The body is too large."},
    429: {"model": Problem, "description": "Too many changing requests in a minute."},
}


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a Problem."""
    app.add_exception_handler(PipelineError, _of_pipeline)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def status_of(error: PipelineError) -> int:
    """The status for an error of ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


async def _of_pipeline(request: Request, error: Exception) -> Response:
    assert isinstance(error, PipelineError)
    status = status_of(error)
    if status >= 500:
        logger.error("%s %s: %s", request.method, request.url.path, error)
    state = None
    if (status == 409 or isinstance(error, Leaving)) and request.url.path.startswith("/api/agent/"):
        state = request.app.state.server.runner.get_status()["state"]
    headers = {"retry-after": str(_RETRY_SECONDS)} if isinstance(error, ProjectBusy | CodeMoved) else None
    return _problem(status, error.what, error.where, error.fix, state=state, headers=headers)


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "")
    if isinstance(error.body, bytes) and "json" not in kind.partition(";")[0].lower():
        what = f"Content-Type is {kind.partition(';')[0][:100]}" if kind else "there is no Content-Type"
        return _problem(
            422,
            f"the body was not read: {what}",
            "the request's headers",
            "send the header Content-Type: application/json",
        )
    faults = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors()
    ]
    return _problem(422, "; ".join(faults), "the request", "correct it; /openapi.json says what is expected")


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
        what = "there is no such page" if error.detail == "Not Found" else str(error.detail)
        gone = NotFound(what, where=request.url.path, fix="go on from one of these")
        return missing(request, request.app.state.server, gone)
    fix = "GET /openapi.json lists the addresses" if error.status_code in (404, 405) else ""
    return _problem(error.status_code, str(error.detail), "", fix, headers=dict(error.headers or {}))


def _problem(
    status: int, detail: str, where: str, fix: str, *, state: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    content = Problem(detail=detail, where=where, fix=fix, state=state).model_dump()
    return JSONResponse(content, status_code=status, headers=headers)
