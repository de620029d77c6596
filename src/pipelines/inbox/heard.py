"""What was heard by websocket, beside what was asked for: pages of a kind `heard-…`, whose rows count until a reply
covers their time. Stream is speed, reply is record: identities of rows need not match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from pipelines.feed import StreamKind
from pipelines.inbox.pages import Frame, Header, Inbox, LogFile
from pipelines.lake import fsync_folder
from pipelines.snapshot import digest

if TYPE_CHECKING:
    import polars as pl

PREFIX = "heard-"
REPLACED = ".replaced"  # beside a file of which replies cover everything
_DAY = len("2026-11-26")
Span = tuple[datetime, datetime]
Spans = Mapping[str, Sequence[Span]]  # of each stream, sorted and apart


def is_heard(kind: str) -> bool:
    """Whether pages of a kind were heard, not asked for."""
    return kind.startswith(PREFIX)


def stream_kind(kind: str) -> StreamKind:
    """The kind of the streams of these pages."""
    return cast("StreamKind", kind.removeprefix(PREFIX))


def replied(inbox: Inbox, kind: StreamKind, since: str, at: datetime | None = None) -> dict[str, list[Span]]:
    """Which spans replies cover that came on day `since` or later, and were asked for by `at`."""
    seen = {one.name: one.length for one in inbox.files(kind) if one.name[:_DAY] < since[:_DAY]}
    found: dict[str, list[Span]] = {}
    for header in inbox.headers(kind, seen):
        if header.low is not None and header.high is not None and (at is None or header.asked_at <= at):
            found.setdefault(header.stream, []).append((header.low, header.high))
    return {stream: _merged(spans) for stream, spans in found.items()}


def _merged(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def is_covered(header: Header, spans: Spans) -> bool:
    """Whether replies cover all of a page that was heard."""
    assert header.low is not None
    assert header.high is not None
    return any(low <= header.low and header.high <= high for low, high in spans.get(header.stream, ()))


def state(frames: Iterable[Frame], spans: Spans) -> str:
    """What of these pages is covered, as a token: it changes when rows are replaced, at no other time."""
    inside = []
    for frame in frames:
        low, high = frame.header.low, frame.header.high
        assert low is not None
        assert high is not None
        touching = [one for one in spans.get(frame.header.stream, ()) if one[0] <= high and low <= one[1]]
        inside += [f"{frame.start} {max(low, one[0])} {min(high, one[1])}" for one in touching]
    return digest(inside)[:8]


def without_covered(rows: pl.DataFrame, spans: Sequence[Span]) -> pl.DataFrame:
    """The bars or ticks that no reply covers."""
    import polars as pl

    start, end = ("start", "end") if "start" in rows.columns else ("ts", "ts")
    for low, high in spans:
        rows = rows.filter(~((pl.col(start) >= low) & (pl.col(end) <= high)))
    return rows


def is_replaced(inbox: Inbox, kind: str, name: str) -> bool:
    """Whether a file is marked as covered altogether."""
    return (inbox.folder / kind / (name + REPLACED)).exists()


def mark_replaced(inbox: Inbox) -> None:
    """Mark the sealed files that replies cover altogether, so that nobody has to look into them again; only who holds
    the lease on the source calls it. What was known at an earlier instant still reads them."""
    for kind in [one for one in inbox.kinds() if is_heard(one)]:
        left = _unreplaced(inbox, kind)
        if not left:
            continue
        spans = replied(inbox, stream_kind(kind), left[0].name)
        ends = {one.name: one.length for one in inbox.files(kind)}
        for file in left:
            seen = {name: length for name, length in ends.items() if name != file.name}
            if all(is_covered(header, spans) for header in inbox.headers(kind, seen)):
                (inbox.folder / kind / (file.name + REPLACED)).touch(mode=0o600)
        fsync_folder(inbox.folder / kind)


def _unreplaced(inbox: Inbox, kind: str) -> list[LogFile]:
    return [one for one in inbox.files(kind) if one.is_sealed and not is_replaced(inbox, kind, one.name)]
