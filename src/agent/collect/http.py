"""One client per source: within the venue's limits, patient but not endless, never off the venue's host.

A bucket per host and class of paths; a pause that the venue asks for holds for all its requests. TLS is required, but
for this machine. What a reply may weigh and how long it may take is bounded.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

from agent.collect.pace import Pace
from agent.collect.retrying import Again, Forbidden, judge
from agent.errors import AgentError
from agent.version import VERSION
from pipelines.feed import Limits, Request

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 32 << 20  # of a body
PATIENCE = 60.0  # seconds for one reply, from the first byte asked to the last one read
LEAST_PATIENCE = 2.0  # the same where the pass ends before: a venue that is well has answered by then
_HOPS = 3  # redirects on one host
_OFFSETS = 5  # Date headers that tell how far the clocks differ
_LATENCIES = 20
_BEAT_SECONDS = 0.01
LOCAL = ("127.0.0.1", "::1", "localhost")
_SECRET = re.compile(r"\$\{(\w+)\}")


class Unanswered(Exception):
    """There is no reply to work with."""

    def __init__(self, verdict: Again) -> None:
        super().__init__(verdict.why)
        self.verdict = verdict


class SourceRefused(AgentError):
    """The venue answers no request of this source, however often it is asked."""


@dataclass(frozen=True)
class Reply:
    """A reply as received. at: when it was asked for, by our clock. server_at: by the venue's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    server_at: datetime | None


@dataclass
class _Bucket:
    """Lets through so many a second, and none while the venue wants a pause. Times are of Pace.elapsed."""

    per_second: float
    free_at: float = 0.0

    def take(self, now: float) -> float:
        """Seconds to wait for one's turn, which is then taken."""
        turn = max(now, self.free_at)
        self.free_at = turn + 1 / self.per_second
        return turn - now


@dataclass
class Width:
    """How many requests may be under way: half as many when the venue answers half as fast as at first, and one more
    for each span of good answers. Some venues slow down instead of refusing."""

    most: int
    usual: float | None = None
    now: int = 0
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    def __post_init__(self) -> None:
        self.now = self.most

    def note(self, seconds: float) -> None:
        """Take in how long a reply took."""
        self._recent.append(seconds)
        if len(self._recent) < _LATENCIES:
            return
        usual = median(self._recent)
        self._recent.clear()
        self.usual = usual if self.usual is None else min(self.usual, usual)
        self.now = max(1, self.now // 2) if usual > 2 * self.usual else min(self.most, self.now + 1)


@dataclass
class Lag:
    """How late this process was in all, to what was due: busy with pages, or beside others on a busy machine. What a
    reply waited for us says nothing of the venue."""

    seconds: float = 0.0

    async def watch(self) -> None:
        """Add up, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self.seconds += loop.time() - due


class Client:
    """Asks a venue. `environment` has the secrets that a feed names."""

    def __init__(
        self,
        limits: Limits,
        pace: Pace,
        environment: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._limits, self._pace, self._patience = limits, pace, patience
        self._environment = os.environ if environment is None else environment
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._paused_until = 0.0
        self.until: float | None = None  # of Pace.elapsed: there is no time to wait for longer
        self._offsets: deque[float] = deque(maxlen=_OFFSETS)
        self.width = Width(limits.concurrency)
        self._http: httpx.AsyncClient | None = None
        self._lag = Lag()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Client:
        import httpx

        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(self._patience),
            limits=httpx.Limits(max_connections=self._limits.concurrency),
            headers={"user-agent": f"tidemill/{VERSION}", "accept": "application/json"},
            follow_redirects=False,
            trust_env=True,
        )
        self._watching = asyncio.create_task(self._lag.watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        assert self._watching is not None
        self._watching.cancel()
        await self._http.aclose()

    @property
    def offset_seconds(self) -> float | None:
        """How far the venue's clock is ahead of ours; None before its first reply."""
        return median(self._offsets) if self._offsets else None

    def pause(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._paused_until = max(self._paused_until, self._pace.elapsed() + seconds)

    def is_too_long(self, seconds: float) -> bool:
        """Whether there is no time to wait so long."""
        return self.until is not None and self._pace.elapsed() + seconds >= self.until

    async def ask(self, request: Request) -> Reply:
        """Send one request, in its turn. Raises Unanswered where it may be asked again, SourceRefused where it is of
        no use."""
        _require_safe(request.url)
        bucket = self._bucket(request)
        await self._wait_for_turn(bucket)
        at, began, lag = self._pace.now(), self._pace.elapsed(), self._lag.seconds
        reply = await self._send(request, at)
        self.width.note(max(0.0, self._pace.elapsed() - began - (self._lag.seconds - lag)))
        verdict = judge(reply.status, reply.headers, at)
        if isinstance(verdict, Forbidden):
            raise SourceRefused(verdict.why, where=urlsplit(request.url).netloc, fix=verdict.fix)
        if verdict is not None:
            raise Unanswered(verdict)
        kind = reply.headers.get("content-type", "application/json")
        if reply.status < 300 and "json" not in kind.lower():
            raise Unanswered(Again(f"the reply is {kind.partition(';')[0]}, no JSON"))
        return reply

    async def _wait_for_turn(self, bucket: _Bucket) -> None:
        while (left := self._paused_until - self._pace.elapsed()) > 0:
            if self.is_too_long(left):
                raise Unanswered(Again("the venue asked for a longer pause than there is time", left))
            await self._pace.sleep(left)
        if (wait := bucket.take(self._pace.elapsed())) > 0:
            await self._pace.sleep(wait)

    def _bucket(self, request: Request) -> _Bucket:
        limits = self._limits.per_second
        key = urlsplit(request.url).netloc, request.path_class
        if key not in self._buckets:
            self._buckets[key] = _Bucket(limits.get(request.path_class) or min(limits.values()))
        return self._buckets[key]

    async def _send(self, request: Request, at: datetime) -> Reply:
        """The reply, however it is. Raises Unanswered where there is no whole one."""
        import httpx

        url, params = self._with_secrets(request.url), list(request.params)
        headers = {name: self._with_secrets(value) for name, value in request.headers.items()}
        patience = self._patience
        if self.until is not None:
            patience = min(patience, max(LEAST_PATIENCE, self.until - self._pace.elapsed()))
        try:
            async with asyncio.timeout(patience):
                for _ in range(_HOPS + 1):
                    reply = await self._once(request.method, url, params, headers, at)
                    target = reply.headers.get("location")
                    if reply.status not in (301, 302, 303, 307, 308) or target is None:
                        return reply
                    url, params = _on_host(url, target), []
        except TimeoutError:
            raise Unanswered(Again(f"no whole reply within {patience:.3g} s", is_silent=True)) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Unanswered(Again(explain(error))) from error
        raise Unanswered(Again(f"the venue redirects more than {_HOPS} times"))

    async def _once(
        self, method: str, url: str, params: list[tuple[str, str]], headers: dict[str, str], at: datetime
    ) -> Reply:
        assert self._http is not None
        query = urlencode(params)
        target = f"{url}{'&' if '?' in url else '?'}{query}" if query else url
        async with self._http.stream(method, target, headers=headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise Unanswered(Again(f"the reply is larger than {MOST_BYTES >> 20} MiB"))
        found = {name.lower(): value for name, value in response.headers.items()}
        server_at = _date(found.get("date"))
        if server_at is not None:
            self._offsets.append((server_at - at).total_seconds())
        return Reply(response.status_code, found, bytes(body), at, server_at)

    def _with_secrets(self, value: str) -> str:
        def put_in(found: re.Match[str]) -> str:
            if found[1] not in self._environment:
                raise SourceRefused(
                    f"the environment variable {found[1]} with the key is not set",
                    where="environment",
                    fix=f"set it, or write {found[1]}=… into .env (mode 600)",
                )
            return self._environment[found[1]]

        return _SECRET.sub(put_in, value)


def explain(error: BaseException) -> str:
    """A fault of the network in words that a person can act on."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
            waiting += [one.__cause__, one.__context__, *inner]
    texts = " ".join(f"{type(one).__name__}: {one}" for one in seen)
    if re.search(r"gaierror|Name or service not known|getaddrinfo|name resolution", texts):
        return "the venue's name cannot be resolved (DNS): there is no network, or none that reaches it"
    if re.search(r"CERTIFICATE|SSL|TLS", texts):
        return f"there is no secure connection to the venue (TLS): {error}"
    if "refused" in texts or "All connection attempts failed" in texts:
        return "nothing listens at the venue's address: the connection was refused"
    return f"the connection failed: {type(error).__name__}{f': {error}' if str(error) else ''}"


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise SourceRefused(
            f"the address {url!r} has no TLS", where="agent.toml", fix="write https://, or an address of this machine"
        )


def _on_host(url: str, target: str) -> str:
    """Where a redirect leads. Raises SourceRefused where that is another host."""
    there = urljoin(url, target)
    if urlsplit(there)[:2] != urlsplit(url)[:2]:
        raise SourceRefused(
            f"the venue redirects to another host, {urlsplit(there).netloc}",
            where=urlsplit(url).netloc,
            fix="if the venue has moved, write its new address into agent.toml",
        )
    return there


def _date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
