"""A server on this machine that answers as venues do, for suites of feeds: recorded or generated replies, and faults.

One asyncio process on loopback. A venue is a function from a request to a reply, mounted under a path of its own;
faults strike by the number of the request at a venue; every request is written down, which is what says whether
something was asked twice.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

Fault = Literal[
    "429",
    "429 with date",
    "503",
    "403",
    "451",
    "401",
    "reset",
    "truncated",
    "html",
    "drip",
    "type",
    "redirect",
    "repeated",
]


@dataclass(frozen=True)
class Asked:
    """A request as it came: number at its venue, from 1 on; path below the venue's own."""

    number: int
    venue: str
    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]

    def one(self, name: str, default: str = "") -> str:
        """The value of a parameter."""
        return dict(self.params).get(name, default)

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What is asked for, whenever."""
        return self.path, tuple(sorted(self.params))


@dataclass(frozen=True)
class Answer:
    """A reply: a value for JSON, or bytes as they are."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Venue = Callable[[Asked], Answer]


@dataclass
class VenueServer:
    """What the server knows and did. `faults`: venue -> number of a request -> fault, or a function of the number.
    clock_offset: how far its clock is ahead. delay: seconds before each reply."""

    venues: Mapping[str, Venue]
    faults: dict[str, Callable[[int], Fault | None]] = field(default_factory=dict)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    clock_offset: timedelta = timedelta(0)
    delay: float = 0.0
    log: list[Asked] = field(default_factory=list)
    port: int = 0
    _last: dict[str, Answer] = field(default_factory=dict)

    def url(self, venue: str) -> str:
        """Where a venue is."""
        return f"http://127.0.0.1:{self.port}/{venue}"

    def asked(self, venue: str) -> list[Asked]:
        """All requests that a venue got, in order."""
        return [one for one in self.log if one.venue == venue]

    def answered(self, venue: str) -> list[Asked]:
        """Those that no fault struck."""
        struck = self.faults.get(venue, _no_fault)
        return [one for one in self.asked(venue) if struck(one.number) is None]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until its end."""
        try:
            while (asked := await self._read(reader)) is not None:
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not await self._answer(asked, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Asked | None:
        first = (await reader.readline()).decode("latin-1").split(" ")
        if len(first) < 3:
            return None
        headers: dict[str, str] = {}
        while line := (await reader.readline()).decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if length := int(headers.get("content-length", "0")):
            await reader.readexactly(length)
        parts = urlsplit(first[1])
        venue, _, path = parts.path.lstrip("/").partition("/")
        number = sum(one.venue == venue for one in self.log) + 1
        asked = Asked(number, venue, f"/{path}", tuple(parse_qsl(parts.query, keep_blank_values=True)), headers)
        self.log.append(asked)
        return asked

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Send a reply, or what a fault makes of it; whether the connection goes on."""
        fault = self.faults.get(asked.venue, _no_fault)(asked.number)
        if fault == "repeated" and asked.venue in self._last:
            answer = self._last[asked.venue]
        elif asked.venue in self.venues:
            answer = self.venues[asked.venue](asked)
        else:
            answer = Answer({"error": "no such venue"}, 404)
        self._last[asked.venue] = answer
        now = self.now() + self.clock_offset
        answer, ends = _struck(answer, fault, now)
        data = answer.data()
        headers = {"content-type": "application/json", "date": format_datetime(now, usegmt=True), **answer.headers}
        length = len(data) * 2 if fault == "reset" else len(data)
        lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join([*lines, f"content-length: {length}", "", ""])).encode())
        if fault == "drip":
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.write(b"" if fault == "drip" else data)
        await writer.drain()
        return not ends


def _no_fault(_: int) -> Fault | None:
    return None


def _struck(answer: Answer, fault: Fault | None, now: datetime) -> tuple[Answer, bool]:
    """What a fault makes of an answer, and whether the connection ends after it."""
    if fault is None or fault in ("drip", "repeated"):
        return answer, False
    if fault in ("429", "503"):
        return Answer({"error": "slow down"}, int(fault), {"retry-after": "1"}), False
    if fault == "429 with date":
        later = format_datetime(now + timedelta(seconds=2), usegmt=True)
        return Answer({"error": "slow down"}, 429, {"retry-after": later}), False
    if fault in ("401", "403", "451"):
        return Answer({"error": "no"}, int(fault)), False
    if fault == "truncated":
        data = answer.data()
        return Answer(data[: len(data) // 2]), False
    if fault == "html":
        return Answer(b"<html>maintenance</html>", headers={"content-type": "text/html"}), False
    if fault == "type":
        return Answer(answer.data(), headers={"content-type": "application/octet-stream"}), False
    if fault == "redirect":
        return Answer({}, 302, {"location": "http://127.0.0.1:9/elsewhere"}), False
    return answer, True  # reset: half of what was announced


def at(*numbers: int, fault: Fault) -> Callable[[int], Fault | None]:
    """The fault at these requests."""
    return lambda number: fault if number in numbers else None


def storm(first: int, last: int, fault: Fault) -> Callable[[int], Fault | None]:
    """The fault from one request to another."""
    return lambda number: fault if first <= number <= last else None


@contextmanager
def serving(venues: Mapping[str, Venue], now: Callable[[], datetime] | None = None) -> Iterator[VenueServer]:
    """The server, in a thread of its own, for the length of a block; `now` is its clock."""
    server, ready = VenueServer(venues), threading.Event()
    server.now = now or server.now
    leaving: list[Callable[[], object]] = []

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        leaving.append(lambda: loop.call_soon_threadsafe(stopping.set))
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
            server.port = listening.sockets[0].getsockname()[1]
            ready.set()
            await stopping.wait()

    def live() -> None:
        asyncio.run(run())  # which cancels the connections that are left

    thread = threading.Thread(target=live, name="venues", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        leaving[0]()
        thread.join()


def pages_of(rows: Sequence[Any], size: int, place: str) -> tuple[Sequence[Any], str]:
    """The page of `rows` that cursor `place` leads to, and the cursor after it; "" at the end."""
    start = int(place or 0)
    following = start + size
    return rows[start:following], str(following) if following < len(rows) else ""
