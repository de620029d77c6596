"""How pages are made: a template with what all of them need, the session's cookie, and where names lead to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from agent.api.server import Server, ServerHere
from agent.api.session import COOKIE, LIFETIME, Sessions
from agent.core.answers import Ref, polyline
from agent.store.trading import account
from pipelines.data.quoting import price_text
from pipelines.errors import PipelineError
from pipelines.figures import number_text, percent_text

_TEMPLATES = Jinja2Templates(Path(__file__).parent / "templates")
_ROOMS = {"component": "components", "market": "markets", "release": "releases", "run": "runs"}


def address(ref: Ref) -> str:
    """The page of what a name stands for."""
    return f"/ui/{_ROOMS[ref.kind]}/{quote(ref.key, safe=':')}"


def ref(kind: Any, key: object, text: str = "") -> Ref:
    """A name in a template, which leads to its page."""
    return Ref(kind, str(key), text or str(key))


_TABLE, _ROW = re.compile(r"<table(?![^>]*class=\"grid).*?</table>", re.S), re.compile(r"<tr.*?</tr>", re.S)
_TAG = re.compile(r"<[^>]*>")
_HEAD, _CELL = re.compile(r"<th\b[^>]*>(.*?)</th>", re.S), re.compile(r"<td\b(?! data-label)")


def labelled(text: str) -> Markup:
    """Rendered HTML whose tables name each cell by its column's heading: a phone shows a row as a card, with no heading
    above it."""
    return Markup(_TABLE.sub(lambda found: _labelled(found[0]), text))  # noqa: S704 - it was escaped as it was rendered


def _labelled(table: str) -> str:
    found = _HEAD.findall(table.partition("</thead>")[0])
    headings = [_TAG.sub("", one).replace('"', "&quot;") for one in found]

    def named(row: re.Match[str]) -> str:
        names = iter(headings)
        return _CELL.sub(lambda _: f'<td data-label="{next(names, "")}"', row[0])

    return _ROW.sub(named, table)


_TEMPLATES.env.filters["labelled"] = labelled
_TEMPLATES.env.globals.update(
    address=address, ref=ref, polyline=polyline, number=number_text, percent=percent_text, price_text=price_text
)


async def look_for_trader(request: Request, server: ServerHere) -> None:
    """Note whether a trader ever ran here: before, no page leads to its page. Looked for until one is found."""
    app = request.app.state
    if not getattr(app, "has_trader", False):
        try:
            app.has_trader = await server.read(lambda at: account.was_opened(at.project))
        except PipelineError:  # whatever the database has: a page that needs none of it is shown
            app.has_trader = False


def page(request: Request, server: Server, template: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A template with what all of them need; a session begins with the first page."""
    sessions = sessions_of(request)
    session = request.state.session
    is_new = not session and not server.settings.api.token
    if is_new:
        session = sessions.new(server.now())
    csrf = sessions.form_token(session) if session else ""
    mode = server.settings.trading_mode.replace("_", " ")
    shared = {"csrf": csrf, "trading_mode": mode, "has_trader": getattr(request.app.state, "has_trader", False)}
    response = _TEMPLATES.TemplateResponse(request, template, {**shared, **values}, status_code=status)
    if is_new:
        set_cookie(request, response, session)
    return response


def missing(request: Request, server: Server, error: PipelineError) -> HTMLResponse:
    """What an address shows that leads to nothing any more: it may have been pasted somewhere long ago."""
    what = f"{error.what[:1].upper()}{error.what[1:]}"
    return page(request, server, "missing.html", {"message": f"{what}: {error.fix}" if error.fix else f"{what}."}, 404)


def set_cookie(request: Request, response: Response, value: str) -> None:
    """Let the browser keep its session."""
    response.set_cookie(
        COOKIE,
        value,
        max_age=int(LIFETIME.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def sessions_of(request: Request) -> Sessions:
    """The server's sessions."""
    sessions: Sessions = request.app.state.sessions
    return sessions
