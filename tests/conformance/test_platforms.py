"""Every platform passes the suite that outside packages use too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from agent.store.database.engine import Database, open_engine
from agent.trading.model import Instrument, Order
from agent.trading.platforms.paper import PaperPlatform
from agent.trading.testing import Venue, VenuePlatform, VenueServer, serving
from agent.trading.testing.suite import PlatformSuite, RemotePlatformSuite
from tests.paper import HOUR, MARKET, D, MovedClock, feed_of, listing

RESOLVED = "test:OVER-X"
CASH, ONE = D(10_000), D(1)


def instrument(market: str) -> Instrument:
    return listing(market).instrument


@dataclass(kw_only=True)
class Scene:
    """An account with cash, at a market where orders fill unit by unit."""

    clock: MovedClock
    market: str = MARKET
    slice: Decimal = ONE
    cash: Decimal = CASH

    def now(self) -> datetime:
        return self.clock.now()


@dataclass(kw_only=True)
class PaperScene(Scene):
    """A paper account whose bars give one unit each."""

    platform: PaperPlatform

    def fill(self, order: Order) -> None:
        self.clock.at += HOUR

    def close_market(self) -> None:
        self.market = RESOLVED


class TestPaper(PlatformSuite):
    @pytest.fixture
    def scene(self, database_url: str) -> Iterator[PaperScene]:
        engine = open_engine(database_url)
        clock = MovedClock()
        resolved = listing(RESOLVED, payout=D(1), resolved_at=clock.now(), kind="binary")
        markets = {MARKET: [100.0 + number for number in range(9)], RESOLVED: [0.5] * 9}
        feed = feed_of(markets, {}, [resolved], volume=10.0)
        yield PaperScene(clock=clock, platform=PaperPlatform(Database(engine, engine), "main", feed, clock, CASH))
        engine.dispose()


@dataclass(kw_only=True)
class OnVenue(Scene):
    """An account at a venue on this machine."""

    server: VenueServer
    platform: VenuePlatform

    def fill(self, order: Order) -> None:
        self.clock.at += timedelta(seconds=1)
        self.server.venue.fill(order.client_order_id, self.slice)

    def close_market(self) -> None:
        self.server.venue.is_open = False

    def pass_time(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)

    def wait_at_most(self, seconds: float) -> None:
        self.platform.seconds = seconds


class TestVenue(RemotePlatformSuite):
    @pytest.fixture
    def scene(self) -> Iterator[OnVenue]:
        clock = MovedClock()
        venue = Venue(now=clock.now, cash=CASH, part=D(0), quotes={MARKET: (D("99.5"), D("100.5"))})
        with serving(venue) as server:
            yield OnVenue(clock=clock, server=server, platform=VenuePlatform(server.url, clock, instrument))
