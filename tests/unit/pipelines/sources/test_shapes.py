"""Recorded replies and generated ones pass one check, field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.feed import Stream
from pipelines.plugins.discovery import load_feed, load_source, settings_of_source
from pipelines.testing.exchange_replies import ExchangeVenue
from pipelines.testing.shapes import faults_of
from pipelines.testing.venue_replies import KalshiVenue, Market, OandaVenue, PolymarketVenue
from pipelines.testing.venues import Asked
from tests.paths import needs_recordings, needs_shared_data
from tests.shared_prices import crypto, fx, outcomes
from tests.unit.pipelines.sources.test_recordings import EXCHANGES, ROWS, reply

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
STEP = timedelta(minutes=10)
# Replies of endpoints that are not generated, or none of those that a walk asks for.
BESIDES = {
    "coinbase-exchange/trades_2024-03.json",
    "coinbase/advanced_ticker_trades_2024-04.json",
    "coinbase/http_ticker.json",
    "polymarket/book.json",
    "polymarket/clob_book_2026-10.json",
    "polymarket/clob_market_closed_binary_accepting_true.json",
    "polymarket/clob_markets_page1_first25.json",
    "polymarket/clob_simplified_markets.json",
    "polymarket/events_list.json",
    "polymarket/gamma_events_by_slug.json",
    "polymarket/gamma_market.json",
    "polymarket/gamma_market_closed_binary_accepting_true.json",
    "polymarket/gamma_market_closed_nonbinary_legacy.json",
    "polymarket/gamma_market_sports_market_map_handicap.json",
    "polymarket/markets_list.json",
}


def venue_of(name: str) -> str:
    folder = name.partition("/")[0]
    return "exchange" if folder in EXCHANGES else folder


@needs_recordings
@pytest.mark.parametrize("name", [name for name in ROWS if name not in BESIDES])
def test_recorded_replies_have_the_shape(name: str) -> None:
    assert faults_of(venue_of(name), reply(name)) == []


def settled(markets: dict[str, Market]) -> dict[str, Market]:
    """The first of them has ended."""
    first = next(iter(markets.values()))
    first.won, first.settled_at, first.closes_at = True, NOW - STEP, NOW - STEP
    return markets


def venues() -> dict[str, Any]:
    tickers, conditions = [f"KXRAIN-26-C{n}" for n in range(3)], [f"0x{n:064x}" for n in range(11, 14)]
    return {
        "kalshi": KalshiVenue(settled(outcomes(NOW, STEP, 300, tickers))),
        "polymarket": PolymarketVenue(settled(outcomes(NOW, STEP, 300, conditions))),
        "oanda": OandaVenue(fx(NOW, STEP, 300)),
        "exchange": ExchangeVenue(crypto(NOW, STEP, 300)),
    }


GENERATED: list[tuple[str, dict[str, Any]]] = [
    ("kalshi", {}),
    ("kalshi", {"history": "trades"}),
    ("polymarket", {}),
    ("polymarket", {"history": "trades"}),
    ("oanda", {"instruments": ("GBP_USD",)}),
    *(
        ("exchange", {"venues": (venue,), "symbols": ("ETH/BTC", "LTC/BTC"), "proxy_url": "http://127.0.0.1"})
        for venue in ("binance", "coinbase", "coinbaseexchange")
    ),
    (
        "exchange",
        {"venues": ("binance",), "symbols": ("ETH/BTC",), "history": "trades", "proxy_url": "http://127.0.0.1"},
    ),
]


@needs_shared_data
@pytest.mark.parametrize(("name", "values"), GENERATED, ids=str)
def test_generated_replies_have_the_shape_and_are_read_whole(name: str, values: dict[str, Any]) -> None:
    """Of the real prices in the shared data: lists, then a page of each stream that they lead to."""
    venue = venues()[name]
    feed = load_feed(name)(settings_of_source(load_source(name))(**values))

    def ask(stream: Stream) -> bytes:
        request = feed.next_request(stream, "")
        assert request is not None
        path = request.url.split("/", 3)[3]
        params, path = request.params, f"/{path.removeprefix('trade-api/v2/')}"
        asked = Asked(1, name, path, params, {"authorization": "Bearer secret"})
        return venue(asked).data()

    listed = next(iter(feed.streams(pl.DataFrame(schema=_empty()))))
    body = ask(listed)
    assert faults_of(name, body) == []
    found = feed.parse(listed, body)
    assert found.quarantined.is_empty()
    assert found.frame.height
    prices = [one for one in feed.streams(found.frame) if one.kind != "markets"]
    assert prices
    for stream in prices:
        since = max(stream.since or NOW - timedelta(days=9), NOW - timedelta(hours=50))
        span = Stream(stream.key, stream.kind, stream.overlap, since, min(stream.until or NOW, NOW))
        body = ask(span)
        assert json.loads(body)
        assert faults_of(name, body) == []
        parsed = feed.parse(span, body)
        assert parsed.quarantined.is_empty()
        assert parsed.frame.height


def _empty() -> Any:
    from pipelines.feed import LISTING_COLUMNS
    from pipelines.source import frame_schema

    return frame_schema(LISTING_COLUMNS)


def test_a_changed_field_is_no_longer_of_the_shape() -> None:
    good = {"t": 1_700_000_000, "p": 0.5}
    assert faults_of("polymarket", json.dumps({"history": [good]}).encode()) == []
    for bad, said in (
        ({"p": 0.5}, "t is missing"),
        ({**good, "t": 1_700_000_000_000}, "t is 1700000000000"),
        ({**good, "p": "0.5"}, "p is '0.5'"),
        ({**good, "q": 1}, "q is no field"),
    ):
        (fault,) = faults_of("polymarket", json.dumps({"history": [bad]}).encode())
        assert said in fault
    with pytest.raises(ValueError, match="no reply of kalshi"):
        faults_of("kalshi", b'{"balance": 1}')
