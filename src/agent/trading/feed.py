"""What a trader reads of its project: markets, bars, and what was published about them. Pure values, and what gives
them. Everything is asked for `until` a moment: what was known later does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from agent.amounts import less, of_float
from agent.trading.model import Instrument, Quote
from pipelines.costs import Costs
from pipelines.values import dataclass

BARS_OF_A_MARK = 1.5  # a price of bars is fresh for so many of them
BARS_OF_A_RELEASE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar, known at `end`. volume: None where the source has none."""

    start: datetime
    end: datetime
    open: Decimal
    close: Decimal
    volume: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A market of the release. payout: of one YES, once it is known, from resolved_at on."""

    instrument: Instrument
    costs: Costs
    bar_seconds: float
    name: str = ""
    payout: Decimal | None = None
    resolved_at: datetime | None = None

    def is_resolved(self, at: datetime) -> bool:
        """Whether it is known what it pays."""
        return self.resolved_at is not None and self.resolved_at <= at

    def pays(self, outcome: str, now: datetime) -> Decimal | None:
        """What one unit of an outcome pays; None while the market is not resolved."""
        if self.payout is None or not self.is_resolved(now):
            return None
        return less(Decimal(1), self.payout) if outcome == "no" else self.payout


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a release says of a market at a bar. enters: the side whose edge exceeds the margin, 1, -1 or 0; may_short:
    -1 is entered, else it only ends a holding. horizon_bars: how long a position is held after the last bar that would
    enter; None: until the market is resolved."""

    market_id: str
    ts: datetime
    enters: int
    probability: float
    confidence: float
    net_edge: float
    reason: str
    horizon_bars: int | None
    model_version: str
    may_short: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseInfo:
    """The release that is traded. release_id: None in a replay of predictions that no release made. base_rate: how
    often its label comes true. is_tradable: entries may be made with it. untradable: why its assessment does not call
    it tradable, empty where it does; a replay may go past that."""

    name: str
    release_id: int | None = None
    is_tradable: bool = False
    is_historical: bool = False
    base_rate: float | None = None
    untradable: str = ""


@dataclass(frozen=True, slots=True)
class Returns:
    """Past returns of a market: simple ones of whole UTC days, log ones of bars, the oldest first."""

    days: Sequence[float] = field(default=())
    bars: Sequence[float] = field(default=())


class Feed(Protocol):
    """What gives bars and forecasts. `refresh` reads again what may have been published since."""

    @property
    def release(self) -> ReleaseInfo: ...

    def refresh(self) -> None:
        """Read another release where it became current. Raises LakeError and NotFound where it cannot be read."""

    def is_outdated(self) -> bool:
        """Whether `refresh` would read another release, and has not tried to."""

    def listings(self) -> Sequence[Listing]: ...

    def listing(self, market_id: str) -> Listing: ...

    def bars(self, market_id: str, since: datetime, until: datetime) -> Sequence[Bar]:
        """Bars that start at or after `since` and end by `until`."""

    def newest(self, market_id: str, until: datetime) -> Bar | None: ...

    def returns(self, market_id: str, until: datetime) -> Returns: ...

    def published(self, market_id: str, until: datetime) -> Published | None: ...

    def last_entry(self, market_id: str, side: int, until: datetime) -> datetime | None:
        """The end of the newest bar that would have entered on `side`."""

    def bars_since(self, market_id: str, since: datetime, until: datetime) -> int:
        """How many bars ended after `since`, up to `until`."""

    def open_seconds(self, market_id: str, since: datetime, until: datetime) -> float:
        """How long the market was open between two moments, as far as its bars show."""


def quote_of(listing: Listing, bar: Bar) -> Quote:
    """The quote at the end of `bar`: its own where it has one, else its close and half the spread of the market's
    costs, within 0..1 of a binary market."""
    market = listing.instrument.market_id
    bid, ask = bar.bid, bar.ask
    if bid is None or ask is None or bid > ask:
        shown, price = replace(listing.costs, slippage=0.0), float(bar.close)
        bid, ask = (of_float(shown.fill_price(price, side)) for side in (-1, 1))
    resolved = listing.is_resolved(bar.end)
    return Quote(market_id=market, ts=bar.end, bid=bid, ask=ask, last=bar.close, last_ts=bar.end, is_open=not resolved)


def max_mark_age(listing: Listing, seconds: float) -> timedelta:
    """How old a price may be: `seconds`, and where only bars exist one and a half of them."""
    return timedelta(seconds=max(seconds, BARS_OF_A_MARK * listing.bar_seconds))


def max_release_age(bar_seconds: float, lag_seconds: float) -> float:
    """How many seconds a market may have been open since what a release knows of it: two of its bars, and as long as
    a release takes."""
    return BARS_OF_A_RELEASE * bar_seconds + lag_seconds
