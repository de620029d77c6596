"""Websockets of a source: what is said is kept at once, what may have been lost is asked for.

Nothing that was heard is more than speed: the next pass asks for all of that time, and its replies replace it. So a gap
needs no book-keeping, only a pass soon; and what does not fit into memory is left out.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.collect.http import LOCAL, explain
from agent.collect.pace import Pace
from agent.collect.retrying import pause
from agent.errors import Busy
from pipelines.errors import PipelineError
from pipelines.feed import FeedFault, Socket, Stream, Subscription
from pipelines.inbox.collected import CollectedSource, timely
from pipelines.inbox.heard import PREFIX
from pipelines.inbox.pages import Header

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

FLUSH_SECONDS, FLUSH_ROWS = 5.0, 5_000
MOST_ROWS = 50_000  # that wait to be written; what is more is left to replies
MOST_BYTES = 4 << 20  # of one message
SILENT_BEATS = 3
_STABLE = 60.0  # seconds after which a connection counts as good: the next pause is a short one again
Pages = Sequence[tuple[str, Header, bytes]]
Keep = Callable[[CollectedSource, Pages], Awaitable[None]]
logger = logging.getLogger("tidemill.collect")


@dataclass
class Ears:
    """The connections of one source. `wanted` is set where a pass should ask for what may have been lost."""

    source: CollectedSource
    keep: Keep
    pace: Pace
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: dict[Subscription, asyncio.Task[None]] = field(default_factory=dict)
    _ending: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Ears:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave(set(self._tasks))
        await asyncio.gather(*self._ending, return_exceptions=True)

    def follow(self) -> None:
        """Listen to what the newest lists of markets name, and to nothing else."""
        socket = self.source.socket
        if socket is None:
            return
        now = self.pace.now()
        streams = [
            one
            for one in self.source.feed.streams(self.source.listings())
            if one.kind != "markets" and (one.until is None or one.until > now)
        ]
        wanted = set(socket.subscriptions(streams))
        self._leave(self._tasks.keys() - wanted)
        for one in wanted - self._tasks.keys():
            self._tasks[one] = asyncio.create_task(Ear(self, socket, one).listen())

    def _leave(self, subscriptions: set[Subscription]) -> None:
        for one in subscriptions:
            task = self._tasks.pop(one)
            task.cancel()
            self._ending.append(task)


@dataclass
class Ear:
    """One connection, made again and again. `waiting`: stream -> messages that are not written yet."""

    ears: Ears
    socket: Socket
    subscription: Subscription
    waiting: dict[str, list[str]] = field(default_factory=dict)
    rows: int = 0
    _flushed_at: float = 0.0

    async def listen(self) -> None:
        """Until it is cancelled."""
        pace, failures, where = self.ears.pace, 0, urlsplit(self.subscription.url).netloc
        while True:
            began = pace.elapsed()
            try:
                await self._connected(is_first=failures == 0)
                why = "the venue closed it"
            except (FeedFault, TimeoutError) as fault:
                why = str(fault) or f"nothing was heard for {SILENT_BEATS} beats"
            except OSError as error:
                why = explain(error)
            finally:
                await self._flush()
            failures = 1 if pace.elapsed() - began > _STABLE else failures + 1
            wait = pause(failures, None, random.random())
            logger.warning(
                "%s: the websocket to %s ended, again in %.0f s: %s", self.ears.source.name, where, wait, why
            )
            await pace.sleep(wait)

    async def _connected(self, *, is_first: bool) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, WebSocketException

        url = urlsplit(self.subscription.url)
        if url.scheme != "wss" and url.hostname not in LOCAL:
            raise FeedFault(f"the address {self.subscription.url!r} has no TLS")
        beat = self.subscription.beat
        by_protocol = None if self.subscription.ping else beat
        try:
            async with connect(
                self.subscription.url, max_size=MOST_BYTES, ping_interval=by_protocol, ping_timeout=SILENT_BEATS * beat
            ) as connection:
                for message in self.subscription.hello:
                    await connection.send(message)
                await self._hear(connection, is_first=is_first)
        except ConnectionClosed as closed:
            raise FeedFault(f"the connection was closed: {closed}") from closed
        except WebSocketException as error:
            raise FeedFault(f"there is no websocket: {error}") from error

    async def _hear(self, connection: ClientConnection, *, is_first: bool) -> None:
        """Take in messages until the connection ends. Raises TimeoutError where it is silent, FeedFault where the venue
        refuses."""
        pace, listener = self.ears.pace, self.socket.listener(self.subscription)
        heard_at = pinged_at = pace.elapsed()
        is_asked = is_first  # after a reconnect the gap is asked for, once this connection hears what comes
        # Only a ping of the venue's own is answered by a message: a quiet market is no dead connection otherwise.
        silent = SILENT_BEATS * self.subscription.beat if self.subscription.ping else None
        while True:
            try:
                async with asyncio.timeout(min(1.0, self.subscription.beat)):
                    message = await connection.recv(decode=True)
            except TimeoutError:
                message = None
            now = pace.elapsed()
            if message is not None:
                heard_at = now
                heard = listener.hear(str(message))
                self._take(heard.rows)
                if heard.gap:
                    logger.warning("%s: %s", self.ears.source.name, heard.gap)
                if heard.gap or (heard.is_ack and not is_asked):
                    is_asked = True
                    self.ears.wanted.set()
            elif silent is not None and now - heard_at > silent:
                raise TimeoutError
            if self.subscription.ping and now - pinged_at >= self.subscription.beat:
                pinged_at = now
                await connection.send(self.subscription.ping)
            if self.rows >= FLUSH_ROWS or (self.rows and now - self._flushed_at >= FLUSH_SECONDS):
                await self._flush()

    def _take(self, rows: Sequence[tuple[str, str]]) -> None:
        for stream, text in rows:
            if self.rows >= MOST_ROWS:
                self.ears.wanted.set()
                return
            self.waiting.setdefault(stream, []).append(text)
            self.rows += 1

    async def _flush(self) -> None:
        """Write what waits. Where another process has the inbox it waits on, and where it cannot be written it is left
        to replies."""
        self._flushed_at = self.ears.pace.elapsed()
        if not self.waiting:
            return
        pages = [page for key, texts in self.waiting.items() if (page := self._page(key, texts)) is not None]
        try:
            await self.ears.keep(self.ears.source, pages)
        except Busy:
            return
        except PipelineError as error:
            logger.warning("%s: what was heard is left to replies: %s", self.ears.source.name, error)
            self.ears.wanted.set()
        self.waiting, self.rows = {}, 0

    def _page(self, key: str, texts: Sequence[str]) -> tuple[str, Header, bytes] | None:
        """A page of what was heard of a stream; None where nothing can be read of it."""
        stream = next(one for one in self.subscription.streams if one.key == key)
        body, now = f"[{','.join(texts)}]".encode(), self.ears.pace.now()
        parsed = timely(self.socket.parse(Stream(key, stream.kind), body), now, None)
        times = [
            parsed.frame.get_column(name) for name in (("start", "end") if parsed.kind == "bars" else ("ts", "ts"))
        ]
        low, high = times[0].min(), times[1].max()
        if parsed.is_refused or not isinstance(low, datetime) or not isinstance(high, datetime):
            if parsed.is_refused:
                logger.warning("%s: what was heard of %s cannot be read", self.ears.source.name, key)
            return None
        header = Header(key, "", now, 0, low, high, is_provisional=True, rows=parsed.frame.height)
        return f"{PREFIX}{stream.kind}", header, body
