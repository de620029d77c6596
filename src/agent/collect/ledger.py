"""What a source's inbox says of its streams: which spans are known, where walks stand, how much there is. Kept in
memory and brought up to date by the headers of what came since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from agent.collect.coverage import Span, add_span, holes
from agent.collect.retrying import rest
from agent.store.collecting import StreamRow
from pipelines.feed import StreamKind
from pipelines.inbox.heard import stream_kind
from pipelines.inbox.pages import Header, Inbox


@dataclass
class Known:
    """Of one stream. walk_began_at: of its newest walk, the one that is under way or ended last."""

    kind: StreamKind
    spans: tuple[Span, ...] = ()
    cursor: str = ""
    walk_began_at: datetime | None = None
    last_at: datetime | None = None
    heard_at: datetime | None = None  # when something came by websocket
    pages: int = 0
    rows: int = 0
    deepest: str = ""  # where the walk stood that went furthest back
    oldest: datetime | None = None  # the venue has nothing that is older
    failures: int = 0
    last_error: str | None = None
    next_try_at: datetime | None = None

    def note(self, header: Header) -> None:
        """Take in a page. One that was heard is no answer: nothing is known by it to be whole, and no failure over."""
        if header.is_provisional:
            self.heard_at, self.rows = header.asked_at, self.rows + header.rows
            return
        if not self.cursor:
            self.walk_began_at = header.asked_at
        self.cursor, self.last_at = header.cursor, header.asked_at
        self.pages += 1
        self.rows += header.rows
        if header.low is not None and header.high is not None:
            if not self.spans or header.low < self.spans[0][0]:
                self.deepest = header.cursor
            self.spans = add_span(self.spans, (header.low, header.high))
        self.failures, self.last_error, self.next_try_at = 0, None, None

    def fail(self, why: str, now: datetime) -> None:
        """It failed once more: it rests."""
        self.failures += 1
        self.last_error, self.next_try_at = why, now + rest(self.failures)


@dataclass
class Ledger:
    """Of all streams of one source; `changed` since rows were last taken."""

    source: str
    inbox: Inbox
    streams: dict[str, Known] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    _seen: dict[str, dict[str, int]] = field(default_factory=dict)

    def catch_up(self, rows: Iterable[StreamRow] = ()) -> None:
        """Take in pages that came since; `rows` say which streams failed and rest, which no page does."""
        for kind in self.inbox.kinds():
            for header in self.inbox.headers(kind, self._seen.setdefault(kind, {})):
                self.of(header.stream, stream_kind(kind)).note(header)
                self.changed.add(header.stream)
        for row in rows:
            if row.failures and row.source == self.source:
                known = self.of(row.stream, cast("StreamKind", row.kind))
                if known.last_at is None or row.last_ok_at is None or known.last_at <= row.last_ok_at:
                    known.failures, known.last_error = row.failures, row.last_error
                    known.next_try_at = row.next_try_at

    def note_heard(self, kind: str, header: Header) -> None:
        """Take in a page that came by websocket."""
        self.of(header.stream, stream_kind(kind)).note(header)
        self.changed.add(header.stream)

    def written(self, kind: str, name: str, length: int) -> None:
        """Pages up to `length` of a file were noted when they came."""
        self._seen.setdefault(kind, {})[name] = length

    def of(self, stream: str, kind: StreamKind) -> Known:
        """What is known of a stream; nothing where it is new."""
        return self.streams.setdefault(stream, Known(kind))

    def fail(self, stream: str, kind: StreamKind, why: str, now: datetime) -> None:
        """A stream failed."""
        self.of(stream, kind).fail(why, now)
        self.changed.add(stream)

    def put_off(self, stream: str, kind: StreamKind, until: datetime) -> None:
        """A stream is not to be asked for before `until`; that is no failure."""
        self.of(stream, kind).next_try_at = until
        self.changed.add(stream)

    def take_rows(self) -> list[StreamRow]:
        """Rows of the streams that changed since the last time."""
        changed, self.changed = self.changed, set()
        return [self._row(name) for name in sorted(changed)]

    def _row(self, name: str) -> StreamRow:
        known = self.streams[name]
        row = StreamRow(
            self.source,
            name,
            known.kind,
            cursor=known.cursor or None,
            last_ok_at=max((one for one in (known.last_at, known.heard_at) if one is not None), default=None),
            last_error=known.last_error,
            failures=known.failures,
            next_try_at=known.next_try_at,
            pages=known.pages,
            rows=known.rows,
        )
        if not known.spans:
            return row
        first, last = known.spans[0][0], known.spans[-1][1]
        return replace(row, covered_from=first, covered_to=last, holes=len(holes(known.spans)))
