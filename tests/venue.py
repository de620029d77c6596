"""A trader at a venue on this machine: scripted bars and forecasts, a clock that tests move, and its server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from agent.amounts import less, plain, times, total
from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, orders
from agent.trading.feeds.columns import TableFeed
from agent.trading.model import Instrument
from agent.trading.run import Trader
from agent.trading.testing import Venue, VenuePlatform, VenueServer, serving
from tests.paper import HOUR, MARKET, START, D, MovedClock, feed_of, listing, trader

OPENS = [100.0] * 12
CASH = D(10_000)


def instrument(market: str) -> Instrument:
    return listing(market).instrument


@dataclass
class Floor:
    """All that a test of a trader at a venue needs."""

    database: Database
    server: VenueServer
    clock: MovedClock
    feed: TableFeed
    promises: dict[str, Any] = field(default_factory=dict)

    @property
    def venue(self) -> Venue:
        return self.server.venue

    def platform(self, seconds: float = 10.0) -> VenuePlatform:
        return VenuePlatform(self.server.url, self.clock, instrument, seconds=seconds, **self.promises)

    def trader(self, seconds: float = 10.0, pairs: Sequence[str] = ("BTCUSD",), **settings: Any) -> Trader:
        """A new process, as far as the tables can tell."""
        return trader(self.database, self.feed, self.clock, pairs, platform=self.platform(seconds), **settings)

    def hour(self, number: int) -> None:
        """The time of a bar's end."""
        self.clock.at = START + HOUR * number

    def wait(self, seconds: float) -> bool:
        self.clock.at += timedelta(seconds=seconds)
        return True

    def rows(self, reader: Any, *more: Any) -> Any:
        with self.database.reading() as connections:
            return reader(connections.project, *more)

    def agent(self) -> dict[str, Any]:
        """Its row."""
        found: dict[str, Any] = self.rows(account.all_open)[0]
        return found

    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.rows(orders.of_agent, self.agent()["id"])
        return found

    def statuses(self) -> list[str]:
        return [one["status"] for one in self.orders()]

    def kinds(self) -> list[str]:
        """Kinds of all discrepancies on record."""
        return sorted(one["kind"] for one in self.rows(booking.discrepancies_of, self.agent()["id"]))

    def position(self, market: str = MARKET) -> dict[str, Any]:
        found: dict[str, Any] = self.rows(booking.position_of, self.agent()["id"], (market, ""))
        return found

    def everything(self) -> list[Any]:
        """What a second reconciliation must not change."""
        its = self.agent()["id"]
        where = ("venue", "main")
        return [
            self.orders(),
            self.rows(booking.fills_of, *where),
            self.rows(booking.movements_of, *where),
            self.rows(booking.positions_of, its),
            self.rows(booking.discrepancies_of, its),
            self.rows(deciding.decisions_of, its, None, 100),
            self.agent()["trading_reason"],
        ]

    def require_agreement(self) -> None:
        """Books and venue agree to the last place, and no client id was placed twice."""
        require_agreement(
            self.venue, self.rows(booking.fills_of, "venue", "main"), self.rows(_cash, self.agent()["id"])
        )
        held = {(one["market_id"], one["outcome"]): one["quantity"] for one in self.rows(_held, self.agent()["id"])}
        assert held == {key: one for key, one in self.venue.holdings.items() if one}
        created = self.server.created()
        assert len(created) == len(set(created)), "a client id was sent twice"


def require_agreement(venue: Venue, fills: Sequence[dict[str, Any]], cash: Decimal) -> None:
    """The books' fills and cash are the venue's."""
    assert cash == venue.cash
    found = {one["platform_fill_id"]: (plain(one["quantity"]), plain(one["price"])) for one in fills}
    assert found == {one["fill_id"]: (one["quantity"], one["price"]) for one in venue.fills}
    paid = total(
        times(one["quantity"], one["price"]) * (1 if one["side"] == "buy" else -1) + one["fee"] for one in fills
    )
    assert cash == less(total(Decimal(one["amount"]) for one in venue.movements), paid)


def _cash(conn: Any, agent_id: int) -> Decimal:
    newest = booking.newest_equity(conn, agent_id)
    return D(0) if newest is None else newest["cash"]


def _held(conn: Any, agent_id: int) -> list[Any]:
    return [one for one in booking.positions_of(conn, agent_id) if one["quantity"]]


@contextmanager
def floor(
    database: Database, enters: Sequence[int] = (0,), others: Sequence[str] = (), **promises: Any
) -> Iterator[Floor]:
    """A venue with cash and one market, or `others` beside it, at 99.9 to 100.1; `enters`: bars whose forecast would
    buy."""
    clock, markets = MovedClock(), (MARKET, *others)
    feed = feed_of(dict.fromkeys(markets, OPENS), {one: dict.fromkeys(enters, 1) for one in markets})
    venue = Venue(now=clock.now, cash=CASH, quotes=dict.fromkeys(markets, (D("99.9"), D("100.1"))))
    with serving(venue) as server:
        yield Floor(database, server, clock, feed, promises)
