"""Every remote source passes the suite that outside packages use too, on each way it has of giving prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from pipelines.plugins.discovery import feed_names, load_feed
from pipelines.testing import FeedSuite
from pipelines.testing.exchange_replies import ExchangeVenue
from pipelines.testing.venue_replies import KalshiVenue, OandaVenue, PolymarketVenue
from pipelines.testing.venues import Venue
from tests.integration.collect.conftest import markets


class TestKalshi(FeedSuite):
    feed = load_feed("kalshi")

    def settings(self, url: str) -> Mapping[str, Any]:
        return {"url": url}

    def venue(self, until: datetime, now: Callable[[], datetime]) -> Venue:
        return KalshiVenue(markets([f"KXRAIN-26-C{n}" for n in range(3)], 300, until), now, page=100)


class TestKalshiTrades(TestKalshi):
    def settings(self, url: str) -> Mapping[str, Any]:
        return {"url": url, "history": "trades"}


class TestPolymarket(FeedSuite):
    feed = load_feed("polymarket")

    def settings(self, url: str) -> Mapping[str, Any]:
        return {"gamma_url": url, "clob_url": url, "data_url": url}

    def venue(self, until: datetime, now: Callable[[], datetime]) -> Venue:
        return PolymarketVenue(markets([f"0x{n:064x}" for n in range(11, 14)], 2500, until), now)


class TestPolymarketTrades(TestPolymarket):
    def settings(self, url: str) -> Mapping[str, Any]:
        return {**super().settings(url), "history": "trades"}


class TestOanda(FeedSuite):
    feed = load_feed("oanda")
    environment: ClassVar = {"OANDA_TOKEN": "secret", "OANDA_ACCOUNT": "001"}

    def settings(self, url: str) -> Mapping[str, Any]:
        return {"url": url, "instruments": ["EUR_USD", "GBP_USD", "USD_JPY"]}

    def venue(self, until: datetime, now: Callable[[], datetime]) -> Venue:
        return OandaVenue(markets(["EUR_USD", "GBP_USD", "USD_JPY"], 300, until), now)


class TestCoinbase(FeedSuite):
    feed = load_feed("exchange")

    def settings(self, url: str) -> Mapping[str, Any]:
        return {"proxy_url": url, "symbols": ["BTC/USD", "ETH-USD"], "timeframe": "1h", "history_days": 15.0}

    def venue(self, until: datetime, now: Callable[[], datetime]) -> Venue:
        return ExchangeVenue(markets(["BTC-USD", "ETH-USD"], 2000, until), now)


class TestBinanceTrades(TestCoinbase):
    def settings(self, url: str) -> Mapping[str, Any]:
        names = {"venues": ["binance"], "symbols": ["BTC/USD", "ETH/USD"], "history": "trades"}
        return {"proxy_url": url, "history_days": 2.2, **names}

    def venue(self, until: datetime, now: Callable[[], datetime]) -> Venue:
        return ExchangeVenue(markets(["BTC-USD", "ETH-USD"], 300, until), now)


def test_each_feed_has_a_suite() -> None:
    tried = {suite.feed for suite in (TestKalshi, TestPolymarket, TestOanda, TestCoinbase)}
    assert tried == {load_feed(name) for name in feed_names()}
