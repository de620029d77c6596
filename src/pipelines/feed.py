"""The contract of a remote source: a file in pipelines/sources/ that gives `FEED`. It does no I/O and reads no clock.

The collector (agent.collect) sends what `next_request` asks for, gives the reply to `page`, and writes the body to the
inbox (pipelines.inbox) as it came. `parse` makes rows of a body, now or in ten years, without network. So each recorded
reply is a test of an adapter, and no adapter can get retries, limits or the order of work wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pipelines.settings import setting
from pipelines.source import MARKET_COLUMNS
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

StreamKind = Literal["markets", "bars", "trades", "quotes"]
RowKind = Literal["markets", "bars", "ticks"]
ROWS_OF: Mapping[str, RowKind] = {"markets": "markets", "bars": "bars", "trades": "ticks", "quotes": "ticks"}

# Rows of a markets page: what a source says of a market, and what its feed needs to ask for its data.
LISTING_COLUMNS: Mapping[str, str] = {
    **MARKET_COLUMNS,
    "handle": "String",  # by which the feed asks for its prices: a token, a series; only the feed reads it
    "opened_at": "Datetime",  # there are no prices before; null where the venue does not say
}
MOST_BAD = 0.05  # more quarantined than this share of a page's rows: the page is refused


@dataclass(frozen=True)
class FeedSettings:
    """What every `[sources.NAME]` of a feed may say: when to collect, never what a page means."""

    history_days: float = setting(
        90.0, "how far back to collect prices; more can be collected later", unit="days", low=0, counts=False
    )
    refresh_minutes: float = setting(
        15.0, "ask for the list of markets again after this time", unit="minutes", low=0, counts=False
    )


@dataclass(frozen=True)
class Stream:
    """What is asked for in order, with a place of its own: the list of markets, or one market's bars.

    key: all that the feed needs to ask for it and to read its pages. overlap: of what is known, so much is asked again,
    for rows that came late. since, until: there is nothing before and from then on; where the collector asks, what it
    wants to know of (both are set then). members: markets that are asked for by name.
    """

    key: str
    kind: StreamKind
    overlap: timedelta = timedelta(0)
    since: datetime | None = None
    until: datetime | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One request. `params` in order, a name may come twice. A header or the url may name a secret as `${VARIABLE}`,
    which the collector puts in as it sends: no feed sees it. path_class: which of LIMITS it counts against. note: what
    the feed wants to know again at the reply; it is not sent."""

    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    path_class: str = ""
    note: str = ""


@dataclass(frozen=True)
class Page:
    """One reply. cursor: where to go on, for the feed alone to read; empty where `is_last`. low, high: the span that is
    known now that this is; None for lists of markets."""

    body: bytes
    cursor: str
    low: datetime | None
    high: datetime | None
    is_last: bool


@dataclass(frozen=True)
class Limits:
    """What a venue allows: requests per second by path class ("" is any other), and requests at a time."""

    per_second: Mapping[str, float]
    concurrency: int


@dataclass(frozen=True)
class Parsed:
    """What a page says. frame: LISTING_COLUMNS, BAR_COLUMNS or TICK_COLUMNS by `kind`, in the page's order.

    quarantined: rows that break a rule, QUARANTINE_COLUMNS. passed_over: rows that say nothing on purpose, such as a
    running bar, with the reason and how many. unknown: fields that the adapter does not know, with how many rows have
    them.
    """

    kind: RowKind
    frame: pl.DataFrame
    quarantined: pl.DataFrame
    passed_over: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Rows of the page, whatever became of them."""
        return self.frame.height + self.quarantined.height + sum(self.passed_over.values())

    @property
    def is_refused(self) -> bool:
        """Whether too many rows are bad for the page to be what the adapter takes it for."""
        return self.quarantined.height > MOST_BAD * self.read


@dataclass(frozen=True)
class Subscription:
    """A websocket: where, what is sent at its start, and the streams it is about. beat: seconds within which a
    connection that lives says something; ping: what is sent at each beat, "": a ping of the protocol."""

    url: str
    hello: tuple[str, ...]
    streams: tuple[Stream, ...]
    beat: float
    ping: str = ""


@dataclass(frozen=True)
class Heard:
    """What a message is. rows: key of a stream and JSON that says something of it. is_ack: the venue has accepted what
    was asked for. gap: in words, what shows that messages were lost."""

    rows: tuple[tuple[str, str], ...] = ()
    is_ack: bool = False
    gap: str = ""


class Listener(Protocol):
    """Reads the messages of one connection, in order."""

    def hear(self, message: str) -> Heard:
        """One message. Raises FeedFault where the venue refuses, or it is no message of it."""


class Socket(Protocol):
    """What a feed gives as SOCKET where its venue has websockets: made from the feed's settings, no I/O, no clock. Its
    rows fill the time until a reply that covers it replaces them all."""

    def __init__(self, settings: Any) -> None: ...

    def subscriptions(self, streams: Iterable[Stream]) -> Iterable[Subscription]:
        """The connections that are about those of `streams` of which there are messages."""

    def listener(self, subscription: Subscription) -> Listener:
        """For one connection, from its start."""

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """The rows of a JSON list of what was heard of `stream` (key and kind), in order."""


class FeedFault(Exception):
    """What `page` raises for a reply that is none."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Retry(FeedFault):
    """The same request may succeed later, after `after` seconds where the venue says so."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Refused(FeedFault):
    """The venue will not answer this, however often it is asked."""


class NotThisStream(FeedFault):
    """There is nothing here for this stream. `instead`: a cursor to go on with at another place, where there is one."""

    def __init__(self, why: str, instead: str | None = None) -> None:
        super().__init__(why)
        self.instead = instead


class TooLong(FeedFault):
    """The span asked for is too long for the venue: ask for half of it."""


class Feed(Protocol):
    """A remote source, made from its own frozen Settings (a FeedSettings).

    name: as users type it in `[sources.NAME]`. SECRETS: names of environment variables with keys. RESUMES: whether a
    walk back in time can go on at its cursor, however long ago it was; else what is left is asked for by its times.
    """

    name: ClassVar[str]
    LIMITS: ClassVar[Limits]
    SECRETS: ClassVar[tuple[str, ...]]
    RESUMES: ClassVar[bool]

    def __init__(self, settings: Any) -> None: ...

    def streams(self, universe: pl.DataFrame) -> Iterable[Stream]:
        """All streams, where `universe` (LISTING_COLUMNS, one row per market) is known; of lists of markets first."""

    def next_request(self, stream: Stream, cursor: str) -> Request | None:
        """What to ask for next; `cursor` is "" at the start. None: there is nothing to ask for."""

    def page(self, stream: Stream, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Page:
        """The reply to `request`, of a status below 300 or of 400, 404, 410 or 422. Raises FeedFault."""

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """The rows of a page; of `stream` only key and kind are set. Raises FeedFault where it is no such page."""

    def wants(self, stream: Stream) -> bool:
        """Whether pages of `stream` (key and kind) are what the settings are about now: of this length of bars."""

    def recognise(self, body: bytes) -> Stream | str:
        """What a saved reply is: a stream that it could be of, or in words why it is nothing that is collected."""
