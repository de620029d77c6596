"""What can be found out about a remote source beside collecting it: whether it answers, what is known of it, and the
joining of its old files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent import identity
from agent.collect.coverage import Span, bounds, covered_fraction, holes
from agent.collect.http import Client, Unanswered
from agent.collect.ledger import Ledger
from agent.collect.pace import Pace, RealPace
from agent.errors import AgentError
from agent.store import collecting, leases
from agent.store.database.engine import Database
from pipelines.feed import FeedFault
from pipelines.inbox.collected import CollectedSource
from pipelines.inbox.compaction import compact
from pipelines.inbox.writer import Writer


@dataclass(frozen=True)
class Call:
    """One call that was answered: rows of its first page, and how long it took."""

    url: str
    rows: int
    quarantined: int
    seconds: float
    offset_seconds: float | None


@dataclass(frozen=True)
class StreamCoverage:
    """How much of a stream is known, between when there may be something and now; `holes` newest first. Of a span that
    is known there may be no rows: `rows` of all its pages."""

    stream: str
    kind: str
    since: datetime
    until: datetime
    fraction: float
    holes: tuple[Span, ...]
    pages: int
    rows: int


def call(source: CollectedSource, environment: Mapping[str, str] | None = None, pace: Pace | None = None) -> Call:
    """Ask the source for the first page of its list of markets, once. Raises AgentError that explains why there is
    none."""
    return asyncio.run(_call(source, environment, pace or RealPace()))


async def _call(source: CollectedSource, environment: Mapping[str, str] | None, pace: Pace) -> Call:
    stream = next(iter(source.feed.streams(source.listings())))
    request = source.feed.next_request(stream, "")
    assert request is not None
    began = pace.elapsed()
    async with Client(source.feed.LIMITS, pace, environment) as client:
        try:
            reply = await client.ask(request)
            source.feed.page(stream, request, reply.status, reply.headers, reply.body)
            parsed = source.feed.parse(stream, reply.body)
        except (Unanswered, FeedFault) as fault:
            raise AgentError(
                str(fault), where=request.url, fix="check the network and the address, then try again"
            ) from fault
    return Call(
        request.url, parsed.frame.height, parsed.quarantined.height, pace.elapsed() - began, client.offset_seconds
    )


def coverage(source: CollectedSource, now: datetime) -> list[StreamCoverage]:
    """What is known of each stream of prices that the newest lists name, by the inbox alone."""
    ledger = Ledger(source.name, source.inbox)
    ledger.catch_up()
    earliest = now - timedelta(days=source.settings.history_days)
    found = []
    for stream in source.feed.streams(source.listings()):
        if stream.kind == "markets":
            continue
        known = ledger.of(stream.key, stream.kind)
        since, until = bounds(stream, now, earliest)
        found.append(
            StreamCoverage(
                stream.key,
                stream.kind,
                since,
                until,
                covered_fraction(known.spans, since, until),
                tuple(holes(known.spans)),
                known.pages,
                known.rows,
            )
        )
    return found


def join_files(source: CollectedSource, database: Database, lease_seconds: float, now: datetime) -> int:
    """Join the files of months that are over; how many were joined. Raises Busy while the source is collected."""
    name = leases.of_collector(source.name)
    with database.writing() as connections:
        collecting.ensure_collector(connections.project, source.name)
        lease = leases.take(connections.project, name, identity.own(), lease_seconds)
    try:
        writer = Writer(source.inbox)  # keeps others out, on this machine
        try:
            month = now.strftime("%Y-%m-01")
            return sum(len(compact(source.inbox, kind, month)) for kind in source.inbox.kinds())
        finally:
            writer.close()
    finally:
        with database.writing() as connections:
            leases.release(connections.project, name, lease.token)
