"""From a venue's list of markets to a release, for each remote source, on both databases: against venues on this
machine that write prices into the shape of their replies, up to now: those of the shared data where it is, else walks
drawn by lot."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.workspace import open_workspace
from agent.service.wiring import around_runs
from agent.store.outputs import releases
from pipelines.testing.exchange_replies import ExchangeVenue
from pipelines.testing.venue_replies import KalshiVenue, Market, OandaVenue, PolymarketVenue, Trade
from pipelines.testing.venues import VenueServer, serving
from tests.paths import SHARED_DATA
from tests.shared_prices import crypto, fx, outcomes

# A full hour: a bar of two halves of the hours that prices are drawn in would have a path that can be forecast.
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
STEP, COUNT = timedelta(hours=1), 350
SETTINGS = """
[executor]
kind = "inline"
[model]
kind = "logistic"
max_iter = 50
[publish]
max_brier_excess = 1.0
max_age_bars = 50
"""


def walk(name: str, price: float, size: float, count: int) -> list[Trade]:
    """A random walk in steps of `size`, until now."""
    rng, found = random.Random(name), []
    highest = 0.95 if price < 1 else 2 * price
    for number in range(count):
        price = min(highest, max(0.05, price + rng.choice((-size, size))))
        found.append(Trade(NOW - (count - number) * STEP, round(price, 5), 1.0 + rng.randrange(5)))
    return found


def drawn(names: list[str], price: float = 0.5, size: float = 0.01, count: int = COUNT) -> dict[str, Market]:
    opened, closes = NOW - (count + 1) * STEP, NOW + timedelta(days=30)
    return {name: Market(name, walk(name, price, size, count), opened, closes) for name in names}


def questions(names: list[str]) -> dict[str, Market]:
    return outcomes(NOW, STEP, COUNT, names) if IS_REAL else drawn(names)


def pairs() -> dict[str, Market]:
    return crypto(NOW, STEP, COUNT) if IS_REAL else drawn(["ETH-BTC", "LTC-BTC"], 0.05, 1e-4)


def currencies() -> dict[str, Market]:
    return fx(NOW, STEP, 3 * COUNT) if IS_REAL else drawn(["GBP_USD"], 1.2, 2e-4, 3 * COUNT)


IS_REAL = SHARED_DATA.exists()
VENUES: dict[str, Callable[[], Any]] = {
    "kalshi": lambda: KalshiVenue(questions([f"KXRAIN-26-C{n}" for n in range(3)])),
    "polymarket": lambda: PolymarketVenue(questions([f"0x{n:064x}" for n in range(11, 14)])),
    "exchange": lambda: ExchangeVenue(pairs()),
    "oanda": lambda: OandaVenue(currencies()),
}
SECTIONS = {
    "kalshi": 'url = "{0}"\n',
    "polymarket": 'gamma_url = "{0}"\nclob_url = "{0}"\ndata_url = "{0}"\nfidelity_minutes = 60\n',
    "exchange": 'proxy_url = "{0}"\nsymbols = ["ETH/BTC", "LTC/BTC"]\ntimeframe = "1h"\n',
    "oanda": 'url = "{0}"\ninstruments = ["GBP_USD"]\ngranularity = "H1"\n',
}


@pytest.fixture(scope="module")
def server() -> Iterator[VenueServer]:
    with serving({name: make() for name, make in VENUES.items()}) as made:
        yield made


def run(folder: Path, trigger: str) -> session.Report:
    with open_workspace(folder) as workspace:
        return session.perform(workspace, Request(targets=("publish",), trigger=trigger), around=around_runs())


@pytest.mark.parametrize("name", VENUES)
def test_markets_to_publish(
    tmp_path: Path, database_url: str, server: VenueServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OANDA_TOKEN", "secret")
    monkeypatch.setenv("OANDA_ACCOUNT", "001")
    section = f"[sources.{name}]\n" + SECTIONS[name].format(server.url(name))
    text = f"{section}{SETTINGS}[database]\nurl = {json.dumps(database_url)}\n"
    (tmp_path / "agent.toml").write_text(text)
    report = run(tmp_path, "schedule")
    assert report.status == "COMPLETED", report
    with open_workspace(tmp_path) as workspace, workspace.database.reading() as connections:
        release = releases.current_release(connections.project)
    assert release is not None
    assert not release.is_historical
    assert release.collected_to is not None
    assert NOW - datetime.fromisoformat(release.collected_to[name]) < timedelta(hours=2)
    asked = len(server.asked(name))
    (tmp_path / "agent.toml").write_text(text.replace("max_iter = 50", "max_iter = 60"))
    run(tmp_path, "person")
    assert len(server.asked(name)) == asked  # neither a person's run nor changed settings ask the network
