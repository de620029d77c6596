"""The venue as a server on loopback, with faults: what real ones do to a request on a bad day.

Each request is written down as it comes, whatever becomes of it.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from agent.trading.testing.venue import Reply, Venue
from pipelines.values import dataclass

What = Literal["reset", "500", "503", "429", "401", "html", "truncated", "drip", "late", "clock"]
_LINGER_NOT = struct.pack("ii", 1, 0)  # close with a reset
_BODIES: dict[str, Reply] = {
    "500": (500, {"code": "internal", "text": "internal error"}),
    "503": (503, {"code": "maintenance", "text": "back soon"}),
    "429": (429, {"code": "rate_limit", "text": "too many requests"}),
    "401": (401, {"code": "unauthorized", "text": "the key was revoked"}),
    "clock": (403, {"code": "timestamp", "text": "the signature is 40 s old"}),
}


@dataclass
class Fault:
    """Strikes requests of a method whose path begins so, `count` times after the first `skip`. does_it: the venue does
    what is asked before the fault strikes. seconds: how late a reply is, or how slowly its bytes come."""

    what: What
    method: str
    path: str
    does_it: bool = False
    count: int = 1_000_000
    skip: int = 0
    seconds: float = 0.5

    def strikes(self, method: str, path: str) -> bool:
        """Whether it does, and once less from now on."""
        if self.count <= 0 or method != self.method or not path.startswith(self.path):
            return False
        self.skip -= 1
        if self.skip >= 0:
            return False
        self.count -= 1
        return True


@dataclass
class VenueServer:
    """What the server knows and did. asked: method, path and body of each request."""

    venue: Venue
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    is_ending: threading.Event = field(default_factory=threading.Event)

    def created(self) -> list[str]:
        """Client ids of all requests to place an order, in order."""
        return [body["client_order_id"] for method, _, body in self.asked if method == "POST"]


@contextmanager
def serving(venue: Venue) -> Iterator[VenueServer]:
    """A server on a free port of loopback, until the block ends."""
    known = VenueServer(venue)

    class Handler(_Handler):
        about = known

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        known.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield known
        finally:
            known.is_ending.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    about: VenueServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing: requests are in `asked`."""

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_DELETE(self) -> None:
        self._answer("DELETE", None)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # whoever asked died half way: nothing was asked
            self.close_connection = True
            return
        self._answer("POST", json.loads(body))

    def _answer(self, method: str, body: Any) -> None:
        path = urlsplit(self.path).path
        self.about.asked.append((method, path, body))
        fault = next((one for one in self.about.faults if one.strikes(method, path)), None)
        with suppress(ConnectionError):
            if fault is None:
                self._send(*self._reply(method, body))
            else:
                reply = self._reply(method, body) if fault.does_it else None
                self._fail(fault, reply or self._reply_without(method, body, fault))

    def _reply_without(self, method: str, body: Any, fault: Fault) -> Reply:
        """What a reply looks like that nothing was done for."""
        return (200, {}) if method in ("POST", "DELETE") else self._reply(method, body)

    def _reply(self, method: str, body: Any) -> Reply:
        venue, parts = self.about.venue, urlsplit(self.path)
        first, _, rest = unquote(parts.path).lstrip("/").partition("/")
        if method == "POST":
            return venue.place(body)
        if method == "DELETE":
            return venue.cancel(rest)
        asked = parse_qs(parts.query).get("since")
        since = None if asked is None else datetime.fromisoformat(asked[0])
        if first == "fills":
            return venue.fills_since(since)
        if first == "account":
            return venue.account(since)
        if first == "orders" and rest:
            return venue.one(rest)
        if first == "quotes":
            return venue.quote(rest)
        found = {"orders": venue.open_orders, "positions": venue.positions}
        return found[first]() if first in found else (404, {"code": "no_such_path", "text": parts.path})

    def _fail(self, fault: Fault, reply: Reply) -> None:
        data = json.dumps(reply[1]).encode()
        if fault.what == "reset":
            self._reset()
        elif fault.what in _BODIES:
            self._send(*_BODIES[fault.what])
        elif fault.what == "html":
            self._write(200, "text/html", b"<html><body>We are back soon.</body></html>")
        elif fault.what == "truncated":
            self._write(reply[0], "application/json", data[: len(data) // 2])
        elif fault.what == "late":
            self.about.is_ending.wait(fault.seconds)
            self._send(*reply)
        else:
            self._drip(reply[0], data, fault.seconds)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, "application/json", json.dumps(body).encode())

    def _write(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(data)

    def _drip(self, status: int, data: bytes, seconds: float) -> None:
        """A byte now and then, until whoever asked has enough of it."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        until = time.monotonic() + seconds
        for number in range(len(data)):
            if time.monotonic() > until or self.about.is_ending.wait(0.05):
                break
            self.wfile.write(data[number : number + 1])
            self.wfile.flush()
        self._reset()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.connection.close()
        self.close_connection = True
