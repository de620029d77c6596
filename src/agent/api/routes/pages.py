"""The pages at /: how the agent stands, runs as they go, the current release. Readable without JavaScript."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from agent.api.errors import status_of
from agent.api.leaving import unless_leaving
from agent.api.models import RunIn
from agent.api.outlook import Foreseen
from agent.api.rendering import look_for_trader, missing, page, sessions_of, set_cookie
from agent.api.routes import runs as run_routes
from agent.api.security import is_token, wait_for_turn
from agent.api.server import Server, ServerHere
from agent.api.shown import component_looks, grid_values, tracebacks, with_names
from agent.api.wording import operations_of
from agent.core.events import Executing, Progress, Started
from agent.core.explain import event_sentence, plan_lines, progress_text
from agent.core.morning_text import WHAT_THIS_IS, answers_of
from agent.core.plan_json import plan_from_json
from agent.core.record import promise_text
from agent.errors import NotFound, UsageError
from agent.execution.cancel import cancel_run
from agent.execution.release import whole_page
from agent.runtime.advance import load_advance
from agent.service import queue
from agent.service.failing import load_failures
from agent.service.projects import DEFAULT_PROJECT
from agent.service.remedy import leave_out_and_retry
from agent.store.control import approvals, events, projects, runs
from agent.store.control.runs import FINAL, Wanted
from agent.store.database.engine import Connections
from agent.store.morning import load_morning
from agent.store.outputs import projections, promises, releases
from agent.store.state import load_states
from pipelines.errors import PipelineError

# Not strict: a browser's address may carry parameters of others (?utm_source=…).
router = APIRouter(include_in_schema=False, dependencies=[Depends(look_for_trader)])
_PAGE = 50
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)
_SIGNALS = 20
_MOST_EVENTS = 1000
_PERSON = "a person on the page"
_BEGUN_SECONDS = 0.5
_cycles: set[asyncio.Future[Any]] = set()  # begun from a page: asyncio itself keeps no strong reference


async def checked_form(request: Request) -> dict[str, str]:
    """The fields of a form whose token is right. Raises HTTPException 403."""
    fields = {name: value for name, value in (await _form_of(request)).items() if isinstance(value, str)}
    session = request.state.session
    if not session or not sessions_of(request).is_form_token(session, fields.get("csrf", "")):
        raise HTTPException(403, "the form is too old or not ours: load the page again and send it once more")
    return fields


async def _form_of(request: Request) -> FormData:
    """The fields that were sent. Raises HTTPException 400 for a form that cannot be read, whatever its headers say."""
    try:
        return await request.form()
    except (ValueError, LookupError) as error:  # a charset or a boundary that is none
        raise HTTPException(400, "the form cannot be read") from error


Form = Annotated[dict[str, str], Depends(checked_form)]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/")
async def portfolio(request: Request, server: ServerHere, until: date | None = None) -> Response:
    """The agent's status, what the current release decided (`until`: the last one of that day or before), and what
    became of earlier predictions."""
    return await _portfolio(request, server, until=until)


@router.get("/ui/morning")
async def morning(request: Request, server: ServerHere) -> Response:
    """The morning's questions and their answers alone."""
    now = server.now()
    return page(request, server, "morning.html", await server.read(lambda at: _morning(at, now), is_long=True))


@router.get("/ui/first")
async def first(request: Request, server: ServerHere) -> Response:
    """What a stranger sees first, alone: it fills while the first run goes on."""
    found = await server.foreseen()
    return page(request, server, "first.html", await server.read(lambda at: _first(at, found, server.now())))


@router.get("/ui/agent")
async def agent(request: Request, server: ServerHere) -> Response:
    """The agent's status alone."""
    return page(request, server, "agent.html", await _agent(server))


@router.post("/ui/agent/{action}")
async def act(request: Request, server: ServerHere, action: str, form: Form) -> Response:
    """A button of the agent."""
    message, status = "", 200
    try:
        message = await unless_leaving(request.app.state.leaving, _acted(server, action, form))
    except PipelineError as error:
        message, status = f"{error.what}: {error.fix}", status_of(error)
    is_fragment = request.headers.get("hx-request") == "true"
    if not is_fragment and status == 200:
        return RedirectResponse("/", 303)
    values = {"message": message, "is_error": status != 200}
    if is_fragment:
        values |= await _agent(server)
        return page(request, server, "agent.html", values)
    return await _portfolio(request, server, values, status)


@router.get("/ui/runs")
async def runs_page(request: Request, server: ServerHere, before: Before = None) -> Response:
    """Runs, newest first."""
    return page(request, server, "runs.html", await _runs_with_grid(server, before))


@router.get("/ui/runs/table")
async def runs_table(request: Request, server: ServerHere, before: Before = None) -> Response:
    """The table of runs alone."""
    return page(request, server, "runs_table.html", await _runs(server, before))


@router.post("/ui/runs")
async def queue_run(request: Request, server: ServerHere, form: Form) -> Response:
    """Queue a run and show it."""
    try:
        wanted = RunIn(
            project_id=int(form.get("project_id", "0")),
            goal=form.get("goal", ""),
            targets=None,
            require_approval=form.get("require_approval") == "true",
        )
    except ValueError:  # pydantic's is one
        values = {"message": "Say what the run is for, in up to 2000 characters."}
        values |= await _runs_with_grid(server, None)
        return page(request, server, "runs.html", values, 422)
    run, _ = await run_routes.enqueue(server, wanted)
    return RedirectResponse(f"/ui/runs/{run.id}", 303)


@router.get("/ui/runs/{run_id}")
async def run_page(request: Request, server: ServerHere, run_id: run_routes.RunId) -> Response:
    """A run and its events as they happen."""
    try:
        values = await _run(server, run_id)
    except NotFound as error:
        return missing(request, server, error)
    return page(request, server, "run.html", {"here": "/ui/runs", **values})


@router.get("/ui/runs/{run_id}/timeline")
async def timeline(request: Request, server: ServerHere, run_id: run_routes.RunId) -> Response:
    """A run's state and events alone."""
    return page(request, server, "timeline.html", await _run(server, run_id))


@router.post("/ui/runs/{run_id}/{action}")
async def answer(request: Request, server: ServerHere, run_id: run_routes.RunId, action: str, form: Form) -> Response:
    """Approve, reject, cancel or retry a run; shows it, or the new one that repeats it."""
    try:
        shown = await asyncio.to_thread(_answered, server, run_id, action)
    except PipelineError as error:
        values = {"here": "/ui/runs", "message": f"{error.what}: {error.fix}", **await _run(server, run_id)}
        return page(request, server, "run.html", values, status_of(error))
    return RedirectResponse(f"/ui/runs/{shown}", 303)


@router.post("/ui/components/{name}/leave-out")
async def leave_out(request: Request, server: ServerHere, name: str, form: Form) -> Response:
    """Leave rows that break a rule out from now on, and try again; shows the new run."""
    change = partial(
        leave_out_and_retry, server.database, server.settings.file, name, DEFAULT_PROJECT, now=server.now()
    )
    try:
        again = await asyncio.to_thread(change)
    except PipelineError as error:
        return await _portfolio(
            request, server, {"message": f"{error.what}: {error.fix}", "is_error": True}, status_of(error)
        )
    server.worker.wake()
    return RedirectResponse(f"/ui/runs/{again.id}", 303)


@router.get("/ui/release/report")
async def report(request: Request, server: ServerHere) -> Response:
    """The report of the release in force, as one page. Sandboxed: what a project wrote gets no say here."""
    release = await server.read(lambda at: releases.current_release(at.project))
    if release is None:
        nothing = NotFound("nothing has been released yet", where="releases", fix="run the agent once")
        return missing(request, server, nothing)
    page = await asyncio.to_thread(whole_page, server.settings.releases_path / release.name)
    return HTMLResponse(page, headers={"content-security-policy": _SANDBOX})


@router.get("/ui/reference")
async def reference(request: Request, server: ServerHere) -> Response:
    """The API's addresses."""
    values = {"here": "/ui/reference", "groups": operations_of(request.app.openapi())}
    return page(request, server, "reference.html", values)


@router.get("/login")
async def login_page(request: Request, server: ServerHere) -> Response:
    """Where a browser gives the token once."""
    return page(request, server, "login.html", {})


@router.post("/login")
async def login(request: Request, server: ServerHere) -> Response:
    """Check the token and begin a session. The right one is let in at any time, wrong ones are slowed down."""
    given = (await _form_of(request)).get("token")
    if not isinstance(given, str) or not is_token(given, server.settings.api.token):
        if await wait_for_turn(request.app.state.wrong, request.scope):
            return page(request, server, "login.html", {"message": "That is not the token."}, 401)
        return page(request, server, "login.html", {"message": "Too many wrong tokens: wait a little."}, 429)
    response = RedirectResponse("/", 303)
    set_cookie(request, response, sessions_of(request).new(server.now()))
    return response


async def _acted(server: Server, action: str, form: dict[str, str]) -> str:
    """Do what a button says; returns what to tell."""
    match action:
        case "start":
            await server.runner.start()
            return "Started: the first cycle comes one interval from now."
        case "stop":
            await server.runner.stop()
            return "Stopped."
        case "pause":
            await server.runner.pause()
            return "Paused."
        case "resume":
            await server.runner.resume()
            return "Resumed."
        case "run-once":
            cycle = asyncio.ensure_future(server.runner.run_once())
            _cycles.add(cycle)
            cycle.add_done_callback(_cycles.discard)
            done, _ = await asyncio.wait({cycle}, timeout=_BEGUN_SECONDS)
            if done:
                cycle.result()
            return "A cycle began."
        case "interval":
            text = form.get("interval_minutes", "")
            if not text.isdecimal():
                raise UsageError(
                    f"{text[:20]!r} is no number of minutes", where="interval", fix="give a whole number, 1 to 10080"
                )
            await server.runner.update_interval(int(text))
            return f"Interval set to {int(text)} minutes."
        case _:
            raise HTTPException(404, "there is no such action")


def _answered(server: Server, run_id: int, action: str) -> int:
    """Do what a button of a run says; returns the run to show."""
    if action == "approve":
        queue.approve(server.database, run_id, by=_PERSON, reason=None, now=server.now())
        server.worker.wake()
    elif action == "reject":
        queue.reject(server.database, run_id, by=_PERSON, reason=None, now=server.now())
    elif action == "cancel":
        cancel_run(server.database, run_id, by=_PERSON, now=server.now())
    elif action == "retry":
        again = queue.retry(server.database, run_id, now=server.now())
        server.worker.wake()
        return again.id
    else:
        raise HTTPException(404, "there is no such action")
    return run_id


async def _portfolio(
    request: Request,
    server: Server,
    values: dict[str, Any] | None = None,
    status: int = 200,
    until: date | None = None,
) -> HTMLResponse:
    found = await server.foreseen()

    def look(at: Connections) -> dict[str, Any]:
        release = releases.release_in_force(at.project, until)
        return {
            **_first(at, found, server.now()),
            "release": release,
            "kept": _kept(at),
            "signals": with_names(at, projections.decisions_of(at.project, release, _SIGNALS)),
            "settled": with_names(at, projections.predictions_with_outcome(at.project, _SIGNALS)),
            "live": projections.live_score(at.project),
            "broken": load_failures(at, load_states(at.project), DEFAULT_PROJECT, server.now()),
            **_morning(at, server.now()),
        }

    shown = {"here": "/", "fragment_shows_message": True, "until": until, **await server.read(look, is_long=True)}
    return page(request, server, "portfolio.html", shown | await _agent(server) | (values or {}), status)


def _first(at: Connections, found: Foreseen, now: datetime) -> dict[str, Any]:
    """Until the second release: what this is, how far the first run is, and what it decided."""
    known, newest = releases.list_releases(at.project, 2), runs.list_runs(at.control, limit=1)
    release = known[0] if known else None
    return {
        "is_first": len(known) < 2,
        "release": release,
        "what_this_is": WHAT_THIS_IS,
        "count": 0 if release is None else len(projections.decisions_of(at.project, release, _MOST_EVENTS)),
        "is_running": bool(newest) and newest[0].status not in FINAL,
        **component_looks(at, found, now),
    }


def _morning(at: Connections, now: datetime) -> dict[str, Any]:
    found = load_morning(at, now)
    return {"answers": () if found is None else answers_of(found)}


def _kept(at: Connections) -> str:
    """What published forecasts promised and kept; nothing before the first outcome."""
    found = promises.load_promise(at.project)
    return "" if found is None else promise_text(found)


async def _agent(server: Server) -> dict[str, Any]:
    newest = await server.read(lambda at: runs.list_runs(at.control, limit=1))
    return {"status": server.runner.get_status(), "newest": newest[0] if newest else None}


async def _runs_with_grid(server: Server, before: int | None) -> dict[str, Any]:
    return {"here": "/ui/runs", **await server.read(grid_values), **await _runs(server, before)}


async def _runs(server: Server, before: int | None) -> dict[str, Any]:
    found, known = await server.read(
        lambda at: (
            runs.list_runs(at.control, Wanted(before_id=before), limit=_PAGE + 1),
            projects.list_projects(at.control),
        )
    )
    older = found[_PAGE - 1].id if len(found) > _PAGE else None
    names = {one.id: one.name for one in known}
    return {"runs": found[:_PAGE], "older": older, "before": before, "projects": known, "names": names}


async def _run(server: Server, run_id: int) -> dict[str, Any]:
    run, reported, approval, failures = await server.read(
        lambda at: (
            runs.load_run(at.control, run_id),
            events.load_events(at.control, run_id, limit=_MOST_EVENTS),
            approvals.load_approval(at.control, run_id),
            tracebacks(at, run_id, _MOST_EVENTS),
        )
    )
    advance: dict[str, Progress] = {}
    if run.status == "RUNNING" and run.project_id == DEFAULT_PROJECT:
        advance = await asyncio.to_thread(load_advance, server.settings.home, run_id)
    last = {row.event.component: row.event for row in reported if isinstance(row.event, Executing)}
    return {
        "run": run,
        "events": reported,
        "advance": [one for name, one in advance.items() if isinstance(last.get(name), Started)],
        "progress_text": progress_text,
        "approval": approval,
        "failures": failures,
        "is_final": run.status in FINAL,
        "plan_lines": plan_lines(plan_from_json(run.plan)) if run.plan else [],
        "event_sentence": event_sentence,
    }
