"""Every source passes the suite that outside packages use too: found by discovery, so that a new file is tested
without being named.

A source needs an EXAMPLE: settings, and where needed the files, with which it runs here without network. Those of the
built-in ones are below; a source that has none fails, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.plugins.discovery import load_source, source_names
from pipelines.testing import SourceSuite
from tests.pages import (
    CONDITION,
    coinbase_candles,
    coinbase_products,
    fill,
    kalshi_markets,
    kalshi_trade,
    kalshi_trades,
    oanda_candles,
    oanda_instruments,
    polymarket_markets,
    polymarket_prices,
)

BARS = "ts,symbol,open,high,low,close\n2020-01-01T00:00:00Z,B,1,2,1,2\n2020-01-01T00:00:00Z,A,1,2,1,2\n"
TRADES = "ts,id,price\n2020-01-01T00:00:00Z,2,1.5\n2020-01-01T00:00:00Z,1,1.4\n2020-01-01T00:00:01Z,3,oops\n"


def _files(base: Path) -> dict[str, Any]:
    (base / "bars.csv").write_text(BARS)
    (base / "trades.csv").write_text(TRADES)
    return {
        "datasets": [
            {"path": "bars.csv", "kind": "spot", "interval_seconds": 60},
            {"path": "trades.csv", "kind": "spot", "content": "trades"},
        ]
    }


def _kalshi(base: Path) -> dict[str, Any]:
    trades = [kalshi_trade(number) for number in range(5)]
    stream = "KXRAIN/KXRAIN-26-NYC"
    fill(base, "kalshi", [("markets", "list", kalshi_markets()), ("trades", stream, kalshi_trades(trades))])
    return {"history": "trades"}


def _polymarket(base: Path) -> dict[str, Any]:
    pages = [("markets", "list", polymarket_markets()), ("quotes", f"{CONDITION}/11/10", polymarket_prices(5))]
    fill(base, "polymarket", pages)
    return {}


def _oanda(base: Path) -> dict[str, Any]:
    fill(base, "oanda", [("markets", "list", oanda_instruments()), ("bars", "EUR_USD/M5", oanda_candles(5))])
    return {}


def _exchange(base: Path) -> dict[str, Any]:
    bars = "coinbase/BTC-USD/BTC-USD/5m"
    fill(base, "exchange", [("markets", "coinbase/list", coinbase_products()), ("bars", bars, coinbase_candles(5))])
    return {}


EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "sample": lambda base: {},
    "files": _files,
    "kalshi": _kalshi,
    "polymarket": _polymarket,
    "oanda": _oanda,
    "exchange": _exchange,
}


class TestEverySource(SourceSuite):
    """The suite, once per source."""

    @pytest.fixture(params=source_names(), autouse=True)
    def _which(self, request: pytest.FixtureRequest) -> None:
        self.known_as = request.param
        assert self.known_as in EXAMPLES, f"give tests/conformance/test_sources.py an example of {self.known_as!r}"
        type(self).source = load_source(self.known_as)

    def settings(self, folder: Path) -> dict[str, Any]:
        return EXAMPLES[self.known_as](folder)

    def test_it_has_the_name_that_users_type(self) -> None:
        assert self.source.name == self.known_as
