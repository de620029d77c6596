"""A collector's world: venues on this machine, a clock that is waited by without waiting, inboxes, and a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.collect.collector import Passed
from agent.collect.trial import JumpingPace, Trial
from agent.store.collecting import StreamRow
from pipelines.inbox.collected import CollectedSource
from pipelines.plugins.discovery import load_source, settings_of_source
from pipelines.testing.exchange_replies import ExchangeVenue
from pipelines.testing.venue_replies import KalshiVenue, Market, OandaVenue, PolymarketVenue, Trade
from pipelines.testing.venues import VenueServer, serving


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
    venues: dict[str, Any]
    trial: Trial

    @property
    def pace(self) -> JumpingPace:
        return self.trial.pace

    @property
    def saved(self) -> dict[str, StreamRow]:
        return self.trial.saved

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
        return self.trial.collect(self.source(name, **values), fresh=fresh, seconds=seconds)

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
    trial = Trial(NOW, {"OANDA_TOKEN": "secret", "OANDA_ACCOUNT": "001"})
    pace = trial.pace
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
        yield World(tmp_path, server, venues, trial)
