"""From a venue's list of markets to a release, for each remote source, on both databases: against venues on this
machine that write prices into the shape of their replies, up to now."""

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

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
STEP, DAYS = timedelta(minutes=30), 45
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


def walk(name: str, price: float, size: float) -> list[Trade]:
    """A random walk in steps of `size`, until now."""
    rng, count = random.Random(name), int(timedelta(days=DAYS) / STEP)
    found = []
    for number in range(count):
        price = (
            min(0.95, max(0.05, price + rng.choice((-size, size)))) if price < 1 else price + rng.choice((-size, size))
        )
        found.append(Trade(NOW - (count - number) * STEP, round(price, 5), 1.0 + rng.randrange(5)))
    return found


def markets(*names: str, price: float = 0.5, size: float = 0.01) -> dict[str, Market]:
    opened, closes = NOW - timedelta(days=DAYS, hours=1), NOW + timedelta(days=30)
    return {name: Market(name, walk(name, price, size), opened, closes) for name in names}


VENUES: dict[str, Callable[[], Any]] = {
    "kalshi": lambda: KalshiVenue(markets(*(f"KXRAIN-26-C{n}" for n in range(3)))),
    "polymarket": lambda: PolymarketVenue(markets(*(f"0x{n:064x}" for n in range(11, 14)))),
    "exchange": lambda: ExchangeVenue(markets("BTC-USD", "ETH-USD", price=3000.0, size=4.0)),
    "oanda": lambda: OandaVenue(markets("EUR_USD", "GBP_USD", price=1.2, size=2e-4)),
}
SECTIONS = {
    "kalshi": 'url = "{0}"\nhistory_days = 40.0\n',
    "polymarket": 'gamma_url = "{0}"\nclob_url = "{0}"\ndata_url = "{0}"\nfidelity_minutes = 30\nhistory_days = 14.0\n',
    "exchange": 'proxy_url = "{0}"\nsymbols = ["BTC/USD", "ETH/USD"]\ntimeframe = "1h"\nhistory_days = 40.0\n',
    "oanda": 'url = "{0}"\ninstruments = ["EUR_USD", "GBP_USD"]\ngranularity = "H1"\nhistory_days = 40.0\n',
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
