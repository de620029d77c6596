"""A collector's world: venues on this machine, a clock that is waited by without waiting, inboxes, and a database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.collect.collector import Collector, Passed
from agent.collect.http import Client
from agent.collect.ledger import Ledger
from agent.store.collecting import StreamRow
from pipelines.inbox.collected import CollectedSource
from pipelines.inbox.writer import Writer
from pipelines.plugins.discovery import load_source, settings_of_source
from pipelines.testing.exchange_replies import ExchangeVenue
from pipelines.testing.venue_replies import KalshiVenue, Market, OandaVenue, PolymarketVenue, Trade
from pipelines.testing.venues import VenueServer, serving


@dataclass
class QuickPace:
    """A clock that jumps where it is waited by: a pause of a minute costs nothing. Otherwise it stands still."""

    at: datetime
    waited: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


def markets(
    names: list[str], count: int, until: datetime, every: timedelta = timedelta(minutes=10)
) -> dict[str, Market]:
    """Markets that trade every `every` until just before `until`."""
    first = until - count * every
    return {
        name: Market(
            name,
            [Trade(first + n * every, 0.3 + 0.05 * ((n * (m + 3)) % 9), 1.0 + n % 4) for n in range(count)],
            opened_at=first - timedelta(hours=1),
            closes_at=until + timedelta(days=30),
        )
        for m, name in enumerate(names)
    }


@dataclass
class World:
    """One project's folder, and the venues it collects from."""

    folder: Path
    server: VenueServer
    pace: QuickPace
    venues: dict[str, Any]
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    saved: dict[str, StreamRow] = field(default_factory=dict)
    patience: float = 20.0

    def source(self, name: str, **values: Any) -> CollectedSource:
        address = self.server.url(name)
        polymarket = ["gamma_url", "clob_url", "data_url"]
        urls = {"kalshi": ["url"], "polymarket": polymarket, "oanda": ["url"], "exchange": ["proxy_url"]}[name]
        cls = load_source(name)
        assert issubclass(cls, CollectedSource)
        if name == "oanda":
            values = {"instruments": tuple(self.venues[name].markets), **values}
        if name == "exchange":
            values = {"symbols": tuple(self.venues[name].markets), **values}
        return cls(settings_of_source(cls)(**dict.fromkeys(urls, address), **values), self.folder)

    def collect(self, name: str, *, fresh: bool = False, seconds: float | None = None, **values: Any) -> Passed:
        """One pass; `fresh`: by a process that knows nothing but the inbox."""
        source = self.source(name, **values)
        ledger = Ledger(name, source.inbox) if fresh or name not in self.ledgers else self.ledgers[name]
        self.ledgers[name] = ledger
        ledger.catch_up(self.saved.values())
        writer = Writer(source.inbox)

        def save() -> None:
            self.saved |= {row.stream: row for row in ledger.take_rows()}

        async def run() -> Passed:
            client = Client(
                source.feed.LIMITS, self.pace, {"OANDA_TOKEN": "secret", "OANDA_ACCOUNT": "001"}, patience=self.patience
            )
            async with client:
                until = None if seconds is None else self.pace.elapsed() + seconds
                collector = Collector(source, ledger, writer, client, self.pace, 1, save)
                return await collector.run(until=until)

        try:
            return asyncio.run(run())
        finally:
            writer.close()

    def rows(self, name: str, **values: Any) -> Any:
        """All rows of prices that the inbox has, each once, in order."""
        import polars as pl

        source = self.source(name, **values)
        frames = [source.fetch(part).frame for part in source.probe().parts if not part.startswith("markets/")]
        frame = pl.concat(frames)
        key = ["market_id", "start"] if "start" in frame.columns else ["market_id", "ts", "seq"]
        return frame.unique(key, keep="last").sort(key)


NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    pace = QuickPace(NOW)
    names = {
        "kalshi": [f"KXRAIN-26-C{n}" for n in range(4)],
        "polymarket": [f"0x{n:064x}" for n in range(11, 15)],
        "oanda": ["EUR_USD", "GBP_USD", "USD_JPY", "USD_CHF"],
    }
    venues: dict[str, Any] = {
        "kalshi": KalshiVenue(markets(names["kalshi"], 300, NOW), pace.now),
        "polymarket": PolymarketVenue(markets(names["polymarket"], 300, NOW), pace.now),
        "oanda": OandaVenue(markets(names["oanda"], 300, NOW), pace.now),
        "exchange": ExchangeVenue(markets(["BTC-USD", "ETH-USD"], 2500, NOW), pace.now),
    }
    with serving(venues, pace.now) as server:
        yield World(tmp_path, server, pace, venues)
