"""One pass over a source: lists of markets that are due, then what is new, then holes, then what is older.

Fair per market: after each page its stream goes to the end of the line. A stream that fails three times rests, the
others go on. Pages are written in groups, each second or MiB, and rows of `streams` after them: the inbox is the truth.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from agent.collect.coverage import Phase, Task, tasks
from agent.collect.http import Client, Reply, Unanswered
from agent.collect.ledger import Ledger
from agent.collect.pace import Pace
from agent.collect.retrying import MOST_TRIES, Again, pause
from pipelines.errors import PipelineError
from pipelines.feed import Feed, FeedFault, NotThisStream, Page, Parsed, Retry, Stream, TooLong
from pipelines.inbox.collected import CollectedSource, timely
from pipelines.inbox.pages import Header
from pipelines.inbox.writer import Writer

if TYPE_CHECKING:
    import polars as pl

GROUP_BYTES, GROUP_SECONDS = 1 << 20, 1.0  # pages are written together, at most so many and so late
MOST_PAGES = 10_000  # of one walk: a cursor that does not end by then never does
RESUMED_WITHIN = timedelta(hours=1)  # a list that was cut short goes on where it was
SHORTEST_SPAN = timedelta(minutes=10)  # a venue that refuses even this refuses all
LONGEST_PAUSE = 3600.0  # seconds, whatever a venue asks for
CLOCK_TOLERANCE = 2.0  # seconds that clocks may differ without a word

logger = logging.getLogger("tidemill.collect")


class StreamFailed(Exception):
    """A stream cannot go on in this pass."""


@dataclass(order=True)
class _Work:
    """A walk over a span of a stream, or over a list: the next page is asked for at `cursor`."""

    phase: Phase
    turn: int
    stream: Stream = field(compare=False)
    is_first: bool = field(default=False, compare=False)
    cursor: str = field(default="", compare=False)
    tries: int = field(default=0, compare=False)
    pages: int = field(default=0, compare=False)
    cursors: set[str] = field(default_factory=set, compare=False)
    keys: frozenset[int] = field(default=frozenset(), compare=False)


@dataclass
class Passed:
    """What a pass did: pages and rows, streams that failed, and whether all work is done."""

    pages: int = 0
    rows: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    is_done: bool = True


def append_heard(writer: Writer, ledger: Ledger, token: int, pages: Iterable[tuple[str, Header, bytes]]) -> None:
    """Let a writer have what websockets brought, kind by kind, under the lease's token."""
    for kind, header, body in pages:
        writer.append(kind, replace(header, token=token), body)
        ledger.note_heard(kind, header)


@dataclass
class Collector:
    """A pass over one source. `save` writes the ledger's changed rows and raises where the lease is lost, as
    `require_lease` does by what is known without asking."""

    source: CollectedSource
    ledger: Ledger
    writer: Writer
    client: Client
    pace: Pace
    token: int
    save: Callable[[], None]
    stop: Callable[[], str | None] = lambda: None
    require_lease: Callable[[], None] = lambda: None
    passed: Passed = field(default_factory=Passed)
    _line: list[_Work] = field(default_factory=list)
    _under_way: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _turns: count[int] = field(default_factory=count)
    _flushed_at: float = 0.0
    _unknown: set[str] = field(default_factory=set)

    @property
    def _feed(self) -> Feed:
        return self.source.feed

    async def run(self, *, until: float | None = None, phases: Iterable[Phase] = tuple(Phase)) -> Passed:
        """Collect what is due; at most until `until` of Pace.elapsed. Raises SourceRefused where the venue answers
        nobody, LakeError where pages cannot be written."""
        phases = frozenset(phases)
        try:
            for _ in range(2):  # the second time by names that the first list no longer has
                if not await self._walk(self._lists_due(), until):
                    return self.passed
            await self._walk(self._prices_due(phases), until)
        finally:
            self.flush()
            if (offset := self.client.offset_seconds) is not None and abs(offset) > CLOCK_TOLERANCE:
                logger.warning(
                    "%s: its clock is %+.1f s from the one of this machine; set one of them right",
                    self.source.name,
                    offset,
                )
        return self.passed

    # --- what is due --------------------------------------------------------------------------------------------

    def universe(self) -> pl.DataFrame:
        """All markets that are known."""
        return self.source.listings()

    def _lists_due(self) -> list[_Work]:
        """Walks over lists that are older than they may be, or were cut short."""
        self.flush()
        now, found = self.pace.now(), []
        every = timedelta(minutes=self.source.settings.refresh_minutes)
        for stream in self._feed.streams(self.universe()):
            if stream.kind != "markets":
                break
            known = self.ledger.of(stream.key, "markets")
            if self._rests(stream, now):
                continue
            is_cut_short = bool(known.cursor) and known.last_at is not None and now - known.last_at < RESUMED_WITHIN
            is_new = known.walk_began_at is None or now - known.walk_began_at >= every
            # One that failed begins at its start: the place where it was may be what made it fail.
            if is_cut_short and not stream.members and not known.failures:
                found.append(_Work(Phase.FORWARD, next(self._turns), stream, cursor=known.cursor))
            elif is_new or is_cut_short:
                found.append(_Work(Phase.FORWARD, next(self._turns), stream))
        return found

    def _prices_due(self, phases: frozenset[Phase]) -> list[_Work]:
        self.flush()
        now = self.pace.now()
        earliest = now - timedelta(days=self.source.settings.history_days)
        found: list[tuple[Task, str]] = []
        for stream in self._feed.streams(self.universe()):
            if stream.kind == "markets" or self._rests(stream, now):
                continue
            known = self.ledger.of(stream.key, stream.kind)
            due = tasks(stream, known.spans, now, earliest, known.oldest)
            resumed = known.deepest if self._feed.RESUMES else ""
            found += [
                (one, resumed if one.phase is Phase.HISTORY else "")
                for one in due
                if one.phase in phases or one.is_first
            ]
        return [
            _Work(Phase.FORWARD if one.is_first else one.phase, next(self._turns), one.stream, one.is_first, cursor)
            for one, cursor in found
        ]

    def _rests(self, stream: Stream, now: datetime) -> bool:
        at = self.ledger.of(stream.key, stream.kind).next_try_at
        return at is not None and at > now

    # --- walking ------------------------------------------------------------------------------------------------

    async def _walk(self, works: list[_Work], until: float | None) -> bool:
        """Do all of it; False where time was up before."""
        self._line, self.client.until = works, until
        heapq.heapify(self._line)
        self._flushed_at = self.pace.elapsed()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.client.width.most):
                    group.create_task(self._work(number, until))
        except* PipelineError as faults:
            raise faults.exceptions[0] from None
        self.passed.is_done = self.passed.is_done and not self._line
        return not self._line

    async def _work(self, number: int, until: float | None) -> None:
        """One of those that ask: take the next in line until there is nothing left and nobody can add to it."""
        while True:
            async with self._changed:
                while not self._line or number >= self.client.width.now:
                    if self._is_over(until) or not (self._line or self._under_way):
                        self._changed.notify_all()
                        return
                    await self._changed.wait()
                if self._is_over(until):
                    self._changed.notify_all()
                    return
                work = heapq.heappop(self._line)
                self._under_way += 1
            following: _Work | None = None
            try:
                following = await self._ask(work)
            finally:
                async with self._changed:
                    self._under_way -= 1
                    if following is not None:
                        heapq.heappush(self._line, following)
                    self._changed.notify_all()

    def _is_over(self, until: float | None) -> bool:
        return (until is not None and self.pace.elapsed() >= until) or self.stop() is not None

    async def _ask(self, work: _Work) -> _Work | None:
        """Ask for one page; what is to be done next of its walk."""
        stream = work.stream
        try:
            request = self._feed.next_request(stream, work.cursor)
            if request is None:
                return None
            reply = await self.client.ask(request)
            page = self._feed.page(stream, request, reply.status, reply.headers, reply.body)
            return self._take(work, page, self._parse(stream, reply), reply)
        except Unanswered as fault:
            return await self._again(work, fault.verdict)
        except Retry as fault:
            return await self._again(work, Again(fault.why, fault.after))
        except NotThisStream as fault:
            if fault.instead is not None and fault.instead not in work.cursors:
                work.cursors.add(fault.instead)
                work.cursor = fault.instead
                return work
            self._fail(stream, fault.why)
        except TooLong as fault:
            return self._halved(work, fault)
        except (StreamFailed, FeedFault) as fault:
            self._fail(stream, str(fault))
        except PipelineError:
            raise
        except Exception as error:  # a fault of a feed stops its stream alone
            logger.exception("%s: %s", self.source.name, stream.key)
            self._fail(stream, f"{type(error).__name__}: {error}")
        return None

    def _parse(self, stream: Stream, reply: Reply) -> Parsed:
        """The rows of a reply. Raises StreamFailed where too many of them are bad."""
        parsed = self._feed.parse(stream, reply.body)
        if parsed.is_refused:
            first = parsed.quarantined.row(0, named=True)
            raise StreamFailed(
                f"the page is refused: {parsed.quarantined.height} of {parsed.read} rows are bad, the first: "
                f"{first['where']}: {first['rule']}"
            )
        if new := parsed.unknown.keys() - self._unknown:
            self._unknown |= new
            logger.warning("%s: fields that are not known: %s", self.source.name, ", ".join(sorted(new)))
        return parsed if parsed.kind == "markets" else timely(parsed, reply.at, reply.server_at)

    def _take(self, work: _Work, page: Page, parsed: Parsed, reply: Reply) -> _Work | None:
        """Keep a page. Raises StreamFailed where its walk does not end."""
        _require_progress(work, page, parsed)
        stream = work.stream
        header = Header(
            stream.key,
            page.cursor,
            reply.at,
            self.token,
            page.low,
            page.high,
            rows=parsed.frame.height,
            server_at=reply.server_at,
        )
        self.writer.append(stream.kind, header, page.body)
        known = self.ledger.of(stream.key, stream.kind)
        known.note(header)
        if page.is_last and page.low is not None and stream.since is not None and page.low > stream.since:
            known.oldest = page.low
        self.ledger.changed.add(stream.key)
        self.passed.pages += 1
        self.passed.rows += parsed.frame.height
        is_late = self.pace.elapsed() - self._flushed_at >= GROUP_SECONDS
        if is_late or self.writer.waiting_bytes >= GROUP_BYTES:
            self.flush()
        if page.is_last:
            return None
        phase = Phase.HISTORY if work.is_first else work.phase
        keys = _keys(parsed)
        cursors = work.cursors | {page.cursor}
        return _Work(phase, next(self._turns), stream, False, page.cursor, 0, work.pages + 1, cursors, keys)

    def take_heard(self, pages: Iterable[tuple[str, Header, bytes]]) -> None:
        """Write what websockets brought meanwhile."""
        append_heard(self.writer, self.ledger, self.token, pages)
        self.flush()

    def flush(self) -> None:
        """Write what waits, then its rows. What is on disk is never asked for again."""
        self.require_lease()
        for kind, name, length in self.writer.flush(self.pace.now()):
            self.ledger.written(kind, name, length)
        if self.ledger.changed:
            sys.audit("tidemill.point", "collector.rows.writing")
            self.save()
            sys.audit("tidemill.point", "collector.rows.written")
        self._flushed_at = self.pace.elapsed()

    async def _again(self, work: _Work, verdict: Again) -> _Work | None:
        """Wait and ask once more, or let the stream rest."""
        work.tries += 1
        if work.tries >= MOST_TRIES:
            self._fail(work.stream, f"{verdict.why}, {work.tries} times")
            return None
        seconds = min(pause(work.tries, verdict.after, random.random()), LONGEST_PAUSE)
        if verdict.of_venue:
            self.client.pause(seconds)
        if self.client.is_too_long(seconds):
            if verdict.is_silent:  # else each pass before a run would wait for it again
                self._fail(work.stream, verdict.why)
                return None
            self.ledger.put_off(work.stream.key, work.stream.kind, self.pace.now() + timedelta(seconds=seconds))
            self.passed.is_done = False
            return None
        if not verdict.of_venue:
            await self.pace.sleep(seconds)
        return work

    def _halved(self, work: _Work, fault: TooLong) -> _Work | None:
        """The newer half of a span that is too long; what is older is a hole, or history, of the next pass."""
        stream = work.stream
        assert stream.since is not None
        assert stream.until is not None
        half = (stream.until - stream.since) / 2
        if half < SHORTEST_SPAN:
            self._fail(stream, fault.why)
            return None
        work.stream = Stream(stream.key, stream.kind, stream.overlap, stream.until - half, stream.until, stream.members)
        self.passed.is_done = False
        return work

    def _fail(self, stream: Stream, why: str) -> None:
        logger.warning("%s: %s fails: %s", self.source.name, stream.key, why)
        self.ledger.fail(stream.key, stream.kind, why, self.pace.now())
        self.passed.failed[stream.key] = why


def _require_progress(work: _Work, page: Page, parsed: Parsed) -> None:
    """Raise StreamFailed where a walk has seen this cursor before, brings nothing new, or is far too long."""
    if page.cursor and page.cursor in work.cursors:
        raise StreamFailed("the walk does not end: the venue gives a cursor that it gave before")
    if work.keys and parsed.frame.height and work.keys >= _keys(parsed):
        raise StreamFailed("the walk does not end: a page has only rows that the page before had")
    if work.pages >= MOST_PAGES:
        raise StreamFailed(f"the walk does not end: it has more than {MOST_PAGES:,} pages")


def _keys(parsed: Parsed) -> frozenset[int]:
    """What the rows of a page are known by."""
    import polars as pl

    names = {"markets": ("market_id",), "bars": ("market_id", "start"), "ticks": ("market_id", "ts", "seq")}
    frame = pl.DataFrame([parsed.frame.get_column(name) for name in names[parsed.kind]])
    return frozenset(frame.hash_rows()) if frame.height else frozenset()
