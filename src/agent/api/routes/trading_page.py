"""The page of the traders of this project, and what a person may ask of them there."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from agent.api.errors import status_of
from agent.api.rendering import look_for_trader, page
from agent.api.routes.pages import Form
from agent.api.server import Server, ServerHere
from agent.core.answers import together
from agent.errors import UsageError
from agent.store.database.engine import writing
from agent.store.trading import account
from agent.trading import person
from agent.trading.overview import Overview, load_overviews
from pipelines.errors import PipelineError

# Not strict: a browser's address may carry parameters of others (?utm_source=…).
router = APIRouter(include_in_schema=False, dependencies=[Depends(look_for_trader)])
_WIDE, _TALL = 720.0, 160.0
_WHO = "a person on the page"


@router.get("/ui/trading")
async def trading(request: Request, server: ServerHere) -> Response:
    """State, limits, positions and orders of each account that is traded here."""
    return page(request, server, "trading.html", await _values(server))


@router.get("/ui/trading/live")
async def live(request: Request, server: ServerHere) -> Response:
    """The same without the forms, whose text must not be lost."""
    return page(request, server, "trading_live.html", await _values(server))


@router.post("/ui/trading/{action}")
async def act(request: Request, server: ServerHere, action: str, form: Form) -> Response:
    """Close everything, pause or resume; shows the page again."""
    try:
        await asyncio.to_thread(_acted, server, action, form)
    except PipelineError as error:
        values = {"message": f"{error.what}: {error.fix}", **await _values(server)}
        return page(request, server, "trading.html", values, status_of(error))
    return RedirectResponse("/ui/trading", 303)


def _acted(server: Server, action: str, form: dict[str, str]) -> None:
    reason, text = form.get("reason", ""), form.get("agent_id", "")
    if action == "close-all":
        person.trigger(server.settings.home, reason, _WHO)
        return
    if action not in ("pause", "resume"):
        raise HTTPException(404, "there is no such action")
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise UsageError("the form names no trader", where="agent_id", fix="load the page again")
    with writing(server.database.project) as conn:
        agent = account.load(conn, int(text))
        if action == "pause":
            person.pause(conn, agent, reason)
        else:
            person.resume(conn, agent, f"resumed by {_WHO}: {person.said(reason)}")


async def _values(server: Server) -> dict[str, Any]:
    home, now = server.settings.home, server.now()
    found = await server.read(lambda at: load_overviews(at.project, home, now), is_long=True)
    return {"here": "/ui/trading", "traders": [(one, _drawn(one)) for one in found]}


def _drawn(one: Overview) -> list[tuple[str, str]]:
    """The lines of the picture, each as its name and its points."""
    points = together([line for _, line in one.curves], _WIDE, _TALL)
    return [(name, drawn) for (name, _), drawn in zip(one.curves, points, strict=True)]
