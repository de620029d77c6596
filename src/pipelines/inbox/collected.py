"""A remote source as every other source: what its inbox holds, read offline. Asking twice gives the same.

What a page means is decided by the feed's `parse` alone, so that changed code or settings read the same pages again and
ask the network for nothing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.errors import BadInput, LakeError
from pipelines.feed import LISTING_COLUMNS, ROWS_OF, Feed, FeedFault, Parsed, Socket, Stream, StreamKind
from pipelines.fingerprint import FORMAT_VERSION, settings_hash, source_hash
from pipelines.inbox import INBOX_FOLDER, heard
from pipelines.inbox.memory import PageMemory
from pipelines.inbox.pages import Frame, Inbox
from pipelines.snapshot import digest
from pipelines.source import (
    BAR_COLUMNS,
    MARKET_COLUMNS,
    MARKET_HISTORY,
    QUARANTINE_COLUMNS,
    TICK_COLUMNS,
    Batch,
    Probe,
    frame_schema,
)
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_recent = PageMemory(64 << 20)
AHEAD = timedelta(seconds=60)  # a row later than this after its page was asked for cannot be true


@dataclass(frozen=True)
class Listing:
    """A page of markets with when it was asked for and the stream it belongs to; `ends` where its walk ends with it."""

    stream: str
    asked_at: datetime
    ends: bool
    frame: pl.DataFrame


class CollectedSource:
    """What the inbox of a feed holds, up to the instant `as_known_at` where one is given. `collected` makes the class
    for a feed."""

    name: ClassVar[str]
    historical: ClassVar[bool] = False
    quarantines: ClassVar[bool] = True  # a venue's odd row stops nobody; see ticks
    feed_class: ClassVar[type[Feed]]

    def __init__(
        self, settings: Any, base: Path, inbox: Path | None = None, as_known_at: datetime | None = None
    ) -> None:
        self.settings = settings
        self.feed = self.feed_class(settings)
        socket = getattr(self.feed_class, "SOCKET", None)
        self.socket: Socket | None = None if socket is None else socket(settings)
        self.inbox = Inbox((inbox or base / INBOX_FOLDER) / self.name)
        self.as_known_at = as_known_at
        self._version = parse_version(self.feed_class, settings)
        self._listed: tuple[dict[str, str], pl.DataFrame] | None = None

    def probe(self) -> Probe:
        """A part per MiB of pages; its token says how far it goes and what reads it."""
        at = self.as_known_at
        parts = self.inbox.parts() if at is None else self.inbox.parts_asked_by(at)
        return Probe(
            {
                part: f"{token}-{self._version}{self._replaced(part) if heard.is_heard(part) else ''}"
                for part, token in parts.items()
            }
        )

    def _replaced(self, part: str) -> str:
        """What of a part that was heard replies have replaced, as the end of its token."""
        kind, name, _ = _parts_of(part)
        if self.as_known_at is None and heard.is_replaced(self.inbox, kind, name):
            return "-replaced"
        frames = [one for one in self.inbox.part(part) if self._is_known(one)]
        return f"-{heard.state(frames, heard.replied(self.inbox, heard.stream_kind(kind), name, self.as_known_at))}"

    def listings(self) -> pl.DataFrame:
        """What is known of every market that was ever listed, LISTING_COLUMNS by market_id. One that the newest list no
        longer has, and that was asked for by name where the feed can, has status `unlisted`."""
        parts = {part: token for part, token in self.inbox.parts().items() if part.startswith("markets/")}
        if self._listed is None or self._listed[0] != parts:
            self._listed = parts, self._newest()
        return self._listed[1]

    def _newest(self) -> pl.DataFrame:
        import polars as pl

        pages = list(self._listings())
        if not pages:
            return pl.DataFrame(schema=frame_schema(LISTING_COLUMNS))
        whole_since = _whole_since(pages)
        rows = pl.concat([page.frame.with_columns(_seen=pl.lit(page.asked_at)) for page in pages])
        # The newest value of each column: a list by name may say less than the list of all, and who won is said once.
        newest = rows.group_by("market_id").agg(pl.all().drop_nulls().last()).sort("market_id")
        is_resolved = pl.col("resolution").is_not_null()
        since = pl.lit(whole_since, pl.Datetime("us", "UTC"))
        is_gone = (pl.col("_seen") < since) & (pl.col("status") == "open")
        newest = newest.with_columns(
            status=pl.when(is_resolved)
            .then(pl.lit("resolved"))
            .when(is_gone)
            .then(pl.lit("unlisted"))
            .otherwise(pl.col("status")),
            resolved_at=pl.when(is_resolved).then(pl.coalesce("resolved_at", "_seen")),
        )
        return newest.select(*LISTING_COLUMNS)

    def markets(self) -> pl.DataFrame:
        """The universe, MARKET_COLUMNS."""
        return self.listings().select(*MARKET_COLUMNS)

    def market_history(self) -> pl.DataFrame:
        """What was known of each market and from when on; the first of it from its opening on."""
        import polars as pl

        schema = frame_schema(MARKET_HISTORY)
        pages = [page.frame.with_columns(known_at=pl.lit(page.asked_at)) for page in self._listings()]
        if not pages:
            return pl.DataFrame(schema=schema)
        rows = pl.concat(pages).sort("market_id", "known_at", maintain_order=True)
        state = pl.struct("market_id", "kind", "status", "end_at")
        is_first = (pl.col("market_id") != pl.col("market_id").shift()).fill_null(True)
        rows = rows.filter((state != state.shift()).fill_null(True)).with_columns(
            known_at=pl.when(is_first).then(pl.min_horizontal("opened_at", "known_at")).otherwise(pl.col("known_at"))
        )
        return rows.select(pl.col(name).cast(kind) for name, kind in schema.items())

    def fetch(self, part: str) -> Batch:
        """The rows of one part. Raises BadInput where there is no such part."""
        import polars as pl

        try:
            frames = self.inbox.part(part)
        except KeyError:
            raise BadInput(
                f"the inbox has no part {part!r}",
                where=str(self.inbox.folder),
                fix="put the file back from a backup, or run again without it",
            ) from None
        folder, name, _ = _parts_of(part)
        kind = heard.stream_kind(folder)
        if kind == "markets":
            return Batch("bars", pl.DataFrame(schema=frame_schema(BAR_COLUMNS)), describes_markets=True)
        rows_kind = "bars" if ROWS_OF[kind] == "bars" else "ticks"
        columns = BAR_COLUMNS if rows_kind == "bars" else TICK_COLUMNS
        wanted = [frame for frame in frames if self._is_known(frame) and self.feed.wants(_stream(frame, kind))]
        if not heard.is_heard(folder):
            found = [self._read(frame, kind, part) for frame in wanted]
        elif self.as_known_at is None and heard.is_replaced(self.inbox, folder, name):
            found = []
        else:
            spans = heard.replied(self.inbox, kind, name, self.as_known_at)
            left = [frame for frame in wanted if not heard.is_covered(frame.header, spans)]
            found = [self._without_covered(self._read(frame, kind, part), frame, spans) for frame in left]
        return Batch(
            "bars" if rows_kind == "bars" else "ticks",
            pl.concat([pl.DataFrame(schema=frame_schema(columns)), *(one.frame for one in found)]),
            pl.concat([pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS)), *(one.quarantined for one in found)]),
            read=sum(one.read for one in found),
        )

    def _without_covered(self, parsed: Parsed, frame: Frame, spans: heard.Spans) -> Parsed:
        left = heard.without_covered(parsed.frame, spans.get(frame.header.stream, ()))
        gone = {"a reply covers its time": parsed.frame.height - left.height}
        return replace(parsed, frame=left, passed_over={**parsed.passed_over, **gone})

    def _is_known(self, frame: Frame) -> bool:
        return self.as_known_at is None or frame.header.asked_at <= self.as_known_at

    def _read(self, frame: Frame, kind: StreamKind, where: str) -> Parsed:
        """The rows of a page, without those that could not be known when it was asked for."""
        key = (self._version, where, frame.start, frame.checksum)
        return _recent.read(key, lambda: self._parse(frame, kind, where))

    def _parse(self, frame: Frame, kind: StreamKind, where: str) -> Parsed:
        import polars as pl

        header = frame.header
        try:
            reader: Feed | Socket = self.feed
            if header.is_provisional and self.socket is not None:
                reader = self.socket
            parsed = reader.parse(_stream(frame, kind), frame.body())
        except FeedFault as fault:
            raise LakeError(
                f"a page cannot be read: {fault.why}",
                where=f"{self.inbox.folder}/{where} at byte {frame.start}",
                fix="`agent sources parse` shows it; report it with the page",
            ) from fault
        return (
            timely(parsed, header.asked_at, header.server_at, f"{where} byte {frame.start}: ")
            if (parsed.kind != "markets")
            else replace(parsed, quarantined=parsed.quarantined.with_columns(pl.format(f"{where}: {{}}", "where")))
        )

    def _listings(self) -> Iterator[Listing]:
        for frame in self.inbox.frames("markets"):
            if self._is_known(frame):
                header = frame.header
                yield Listing(
                    header.stream, header.asked_at, not header.cursor, self._read(frame, "markets", "markets").frame
                )


def _parts_of(part: str) -> tuple[str, str, str]:
    """Kind, file and number of a part."""
    kind, _, rest = part.partition("/")
    name, _, number = rest.partition("#")
    return kind, name, number


def _stream(frame: Frame, kind: StreamKind) -> Stream:
    return Stream(frame.header.stream, kind)


def timely(parsed: Parsed, asked_at: datetime, server_at: datetime | None, where: str = "") -> Parsed:
    """Without bars that were not over when they were asked for, by the venue's clock where it is known; rows from later
    than a minute after are quarantined."""
    import polars as pl

    rows, time = parsed.frame, "start" if parsed.kind == "bars" else "ts"
    known, latest = server_at or asked_at, asked_at + AHEAD
    bad, passed_over = parsed.quarantined, dict(parsed.passed_over)
    # Most pages have nothing of all this: a look at the newest row is cheap, a query is not.
    if not bad.is_empty() and where:
        bad = bad.with_columns(pl.format(f"{where}{{}}", "where").alias("where"))
    if _is_after(rows.get_column(time).max(), latest):
        is_ahead = pl.col(time) > latest
        ahead = rows.filter(is_ahead).select(
            pl.lit(f"{where}its time").alias("where"),
            pl.lit("it is later than when it was asked for").alias("rule"),
            pl.struct(rows.columns).struct.json_encode().alias("row"),
        )
        rows, bad = rows.filter(~is_ahead), pl.concat([bad, ahead])
    if parsed.kind == "bars" and _is_after(rows.get_column("end").max(), known):
        over = rows.filter(pl.col("end") <= known)
        running = "the bar is still running"
        passed_over[running] = passed_over.get(running, 0) + rows.height - over.height
        rows = over
    return replace(parsed, frame=rows, quarantined=bad, passed_over=passed_over)


def _is_after(value: object, instant: datetime) -> bool:
    return isinstance(value, datetime) and value > instant


def collected(feed_class: type[Feed]) -> type[CollectedSource]:
    """The source class of a feed; `Settings` of its module are the feed's."""
    return _collected(feed_class)


@cache
def _collected(feed_class: type[Feed]) -> type[CollectedSource]:
    values = {
        "name": feed_class.name,
        "feed_class": feed_class,
        "__module__": feed_class.__module__,
        "__qualname__": feed_class.__qualname__,
        "__doc__": feed_class.__doc__,
    }
    return type(feed_class.__name__, (CollectedSource,), values)


def parse_version(feed_class: type[Feed], settings: Any) -> str:
    """What decides how pages are read: the feed's module and those that it imports from, the settings that count, and
    libraries that it declares (LIBRARIES). A change of it reads all pages again."""
    libraries = [f"{name} {_version_of(name)}" for name in getattr(feed_class, "LIBRARIES", ())]
    own = feed_class.__module__
    used = {getattr(value, "__module__", None) or "" for value in vars(sys.modules[own]).values()}
    root = own.partition(".")[0] + "."
    texts = [_hash_of(name) for name in sorted({own, *(one for one in used if one.startswith(("pipelines.", root)))})]
    return digest([str(FORMAT_VERSION), settings_hash(settings), *texts, *libraries])[:16]


def _version_of(library: str) -> str:
    import importlib.metadata  # costs every start some milliseconds

    return importlib.metadata.version(library)


@cache
def _hash_of(module: str) -> str:
    return source_hash(inspect.getsource(sys.modules[module]))


def _whole_since(pages: list[Listing]) -> datetime | None:
    """Since when all lists have been walked to their end once more; None where one never was."""
    begun: dict[str, datetime] = {}
    whole: dict[str, datetime | None] = {}
    for page in pages:
        began = begun.setdefault(page.stream, page.asked_at)
        whole.setdefault(page.stream, None)
        if page.ends:
            whole[page.stream] = began
            del begun[page.stream]
    times = [at for at in whole.values() if at is not None]
    return min(times) if len(times) == len(whole) else None
