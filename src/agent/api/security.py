"""The gate before every route: who may ask at all, how much and how often, and what every answer carries.

Without a token only this machine is served, and only under its own names, so that a page on another site can reach the
server neither by a cross-site request nor by a name that it lets point here (DNS rebinding), and only to the user who
started it (or root). With a token every request but the open ones needs it, as a bearer token or as the cookie of a
page that was logged in with it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api import peers
from agent.api.limits import RateLimit, WrongTokens
from agent.api.metrics import Metrics
from agent.api.session import Sessions, cookies_in
from agent.clock import SystemClock
from agent.errors import UsageError
from agent.sections.api import Settings as ApiSettings

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = ("/healthz", "/login", "/static/")  # without a token
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# What ends something is never put off: it waits for no limit.
_ENDS = re.compile(
    r"/api/agent/stop|/ui/agent/stop|/runs/cancel|(/ui)?/runs/[0-9]+/cancel|/trading/pause|/trading/kill-switch/trigger"
    r"|/ui/trading/(close-all|pause)"
)
_MOST_DIGITS = 18
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
LEAST_TOKEN = 16
_NEW_TOKEN = "`agent serve --new-token` makes one"  # noqa: S105 (a sentence)
# As ASGI wants them: every answer carries those that its route does not set.
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer a browser sends its own forms with "Origin: null"
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone."""
    if host in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe_address(host: str, token: str) -> None:
    """Raises UsageError for an address that others can reach, without a token that keeps them out."""
    if is_strong(token) or is_loopback(host):
        return
    what = f"a token of {len(token.strip())} characters can be guessed" if token.strip() else "without a token"
    raise UsageError(
        f"{what}: the server listens on this machine alone, not on {host}",
        where="agent serve --host",
        fix=f"set AGENT_API_TOKEN to a secret of at least {LEAST_TOKEN} characters ({_NEW_TOKEN}), or leave --host out",
    )


def is_strong(token: str) -> bool:
    """Whether a token is long enough to keep others out over a network."""
    return len(token.strip()) >= LEAST_TOKEN


def is_token(given: str, token: str) -> bool:
    """Whether `given` is the token that is set; compared in constant time. Nothing is where none is set."""
    return bool(token.strip()) and hmac.compare_digest(given.strip().encode(), token.strip().encode())


class Refused(Exception):
    """A request that goes no further: the answer's status and words."""

    def __init__(self, status: int, detail: str, fix: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.fix, self.headers = status, detail, fix, headers


class WrongToken(Refused):
    """A token was sent, and it is not the one."""


class Gate:
    """The ASGI middleware. `scope["state"]["session"]` is the page's cookie where there is a valid one."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        api: ApiSettings,
        sessions: Sessions,
        metrics: Metrics,
        wrong: WrongTokens,
        peer: peers.PeerUser,
    ) -> None:
        self._app, self._api, self._sessions, self._metrics = app, api, sessions, metrics
        self._rate, self._wrong, self._peer = RateLimit(api.rate_limit_per_minute), wrong, peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, pass it on, dress and time the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.setdefault("headers", [])
                has = {name for name, _ in given}
                given += [one for one in _HEADERS if one[0] not in has]
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._check_address(scope, headers)
            self._check_origin(scope, headers)
            self._check_identity(scope, headers)
            if scope["method"] not in _SAFE:
                self._check_rate(scope)
                receive = await self._with_body(headers, receive)
        except WrongToken as refused:
            await _answer(await self._slowed(scope, refused), dressed)
        except Refused as refused:
            await _answer(refused, dressed)
        else:
            await self._app(scope, receive, dressed)
        finally:
            # Only templates of our own routes make series; what matches none is one series, not one a path.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.observe(scope["method"], route, status, time.perf_counter() - started)

    def _check_address(self, scope: Scope, headers: Headers) -> None:
        """Without a token: a caller on this machine, of this user, and a Host that names this machine."""
        if is_strong(self._api.token):
            return
        client = scope.get("client")
        if client is not None and not is_loopback(client[0]):
            what = f"a token of fewer than {LEAST_TOKEN} characters" if self._api.token else "without a token"
            raise Refused(403, f"{what}: only this machine is served", "set a long AGENT_API_TOKEN on the server")
        if self._api.token:
            return
        host = _hostname(headers.get("host", ""))
        if host is None or not is_loopback(host):
            raise Refused(
                403,
                f"the Host header does not name this machine: {headers.get('host', '')[:100]}",
                "use http://localhost or http://127.0.0.1, or set AGENT_API_TOKEN on the server",
            )
        if any(name in headers for name in _FORWARDED):
            raise Refused(
                403,
                "a request that comes through a proxy may be anyone's, and this server has no token",
                f"set AGENT_API_TOKEN on the server: {_NEW_TOKEN}",
            )
        self._check_user(scope)

    def _check_user(self, scope: Scope) -> None:
        uid = self._peer(scope.get("client"), scope.get("server"))
        if peers.may_ask(uid, peers.own_user()):
            return
        fix = f"send the server's token ({_NEW_TOKEN}), or ask as the user who started it"
        if uid is not None:
            raise Refused(403, f"without a token only the user who started the server is served, not user {uid}", fix)
        if scope["method"] not in _SAFE:
            raise Refused(403, "this system does not say whose request it is: changes need a token", fix)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """A browser says where a request comes from: another site's page may neither change nor read anything."""
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != headers.get("host", "").lower():
            raise Refused(403, "a page of another site may not ask this server", "use the server's own pages")
        if scope["method"] not in _SAFE and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "a page of another site may not change anything here", "use the server's own pages")

    def _check_identity(self, scope: Scope, headers: Headers) -> None:
        now = SystemClock().now()
        sent = [value for header in headers.getlist("cookie") for value in cookies_in(header)]
        session = next((value for value in sent if self._sessions.is_valid(value, now)), "")
        scope.setdefault("state", {})["session"] = session
        token, path = self._api.token, scope["path"]
        if not token or path.startswith(_OPEN):
            return
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and is_token(bearer, token):
            return
        if session:
            is_form = path.startswith("/ui/")  # whose routes check the field that the form carries
            given = headers.get("x-csrf-token", "")
            if scope["method"] in _SAFE or is_form or self._sessions.is_form_token(session, given):
                return
            raise Refused(403, "the X-CSRF-Token header is missing or wrong", "send the token of the page's form")
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            raise Refused(303, "log in first", "open /login", location="/login")
        raise (WrongToken if bearer else Refused)(
            401, "a token is needed", "send the header Authorization: Bearer TOKEN", **{"www-authenticate": "Bearer"}
        )

    async def _slowed(self, scope: Scope, refused: WrongToken) -> Refused:
        """The answer to a wrong token, once its time has come."""
        return refused if await wait_for_turn(self._wrong, scope) else TOO_MANY_WRONG

    def _check_rate(self, scope: Scope) -> None:
        if scope["path"] == "/login" or _ENDS.fullmatch(scope["path"]):  # wrong tokens have a limit of their own
            return
        wait = self._rate.wait_seconds(_client_of(scope), time.monotonic())
        if wait > 0:
            raise Refused(
                429,
                f"more than {self._api.rate_limit_per_minute} changing requests in a minute",
                "wait, or raise [api] rate_limit_per_minute",
                **{"retry-after": str(int(wait) + 1)},
            )

    async def _with_body(self, headers: Headers, receive: Receive) -> Receive:
        """The request's body read whole, so that one that is too large reaches no route."""
        most = self._api.max_body_bytes
        too_large = Refused(413, f"the body is larger than {most} bytes", "send less ([api] max_body_bytes)")
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdecimal() and len(declared) <= _MOST_DIGITS):
            raise Refused(400, "Content-Length is not a number", "correct the request")
        if int(declared) > most:
            raise too_large
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > most:
                raise too_large
        body: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return body.pop() if body else await receive()

        return replay


TOO_MANY_WRONG = Refused(
    429, "too many wrong tokens in a minute", "wait; the right token is let in at any time", **{"retry-after": "10"}
)


async def wait_for_turn(wrong: WrongTokens, scope: Scope) -> bool:
    """Wait until a wrong token of this client may be answered; False where too many of them wait already."""
    delay = wrong.delay_seconds(_client_of(scope), time.monotonic())
    if delay is None:
        return False
    await asyncio.sleep(delay)
    return True


def _client_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _netloc(origin: str) -> str | None:
    """Host and port in an Origin header; None where it cannot be read, which is no site of ours."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _hostname(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


async def _answer(refused: Refused, send: Send) -> None:
    body: dict[str, Any] = {"detail": refused.detail, "where": "", "fix": refused.fix, "state": None}
    headers = {"content-type": "application/json", **refused.headers}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
