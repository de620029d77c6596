"""Replies of venues, made as their documentation says, and inboxes with them, for tests without network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.inbox.pages import Header, Inbox
from pipelines.inbox.writer import Writer

ASKED = datetime(2026, 11, 26, 12, tzinfo=UTC)


def kalshi_market(ticker: str = "KXRAIN-26-NYC", **changes: Any) -> dict[str, Any]:
    """A market in the schema of late 2026."""
    return {
        "ticker": ticker,
        "event_ticker": ticker.rpartition("-")[0],
        "market_type": "binary",
        "title": "Will it rain?",
        "yes_sub_title": "New York",
        "status": "active",
        "result": "",
        "open_time": "2026-11-01T00:00:00Z",
        "close_time": "2026-12-31T00:00:00Z",
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
        "volume_fp": "100.00",
        "liquidity_dollars": "12.0000",
        **changes,
    }


def kalshi_markets(*markets: dict[str, Any], cursor: str = "") -> bytes:
    """A page of /markets."""
    return json.dumps({"cursor": cursor, "markets": markets or [kalshi_market()]}).encode()


def kalshi_trade(number: int, ticker: str = "KXRAIN-26-NYC", **changes: Any) -> dict[str, Any]:
    """A trade in the schema of late 2026; a later number is a later trade, several share an instant."""
    at = ASKED - timedelta(hours=2) + timedelta(seconds=number // 3)
    return {
        "ticker": ticker,
        "trade_id": f"trade-{number}",
        "created_time": at.isoformat().replace("+00:00", "Z"),
        "yes_price_dollars": f"0.{10 + number % 80}00",
        "no_price_dollars": f"0.{90 - number % 80}00",
        "count_fp": f"{number % 7 + 1}.00",
        "taker_side": ("yes", "no")[number % 2],
        **changes,
    }


def kalshi_trades(rows: Sequence[dict[str, Any]], cursor: str = "") -> bytes:
    """A page of /markets/trades."""
    return json.dumps({"cursor": cursor, "trades": list(rows)}).encode()


def oanda_instruments() -> bytes:
    """A reply of /v3/accounts/{account}/instruments, as the documentation has it."""
    row = {"name": "EUR_USD", "type": "CURRENCY", "displayName": "EUR/USD", "pipLocation": -4, "displayPrecision": 5}
    return json.dumps({"instruments": [row], "lastTransactionID": "1"}).encode()


def oanda_candles(count: int, start: datetime = ASKED - timedelta(hours=2), step: int = 300) -> bytes:
    """A reply of /v3/instruments/EUR_USD/candles; the last one is still running."""
    rows = []
    for number in range(count):
        prices = {
            side: f"{1.1 + off + number / 1e4:.5f}" for side, off in (("o", 0), ("h", 2e-4), ("l", -2e-4), ("c", 1e-4))
        }
        rows.append(
            {
                "time": f"{(start + timedelta(seconds=step * number)).isoformat()[:19]}.000000000Z",
                "complete": number < count - 1,
                "volume": 100 + number,
                "mid": prices,
                "bid": {side: f"{float(price) - 5e-5:.5f}" for side, price in prices.items()},
                "ask": {side: f"{float(price) + 5e-5:.5f}" for side, price in prices.items()},
            }
        )
    return json.dumps({"instrument": "EUR_USD", "granularity": "M5", "candles": rows}).encode()


def coinbase_products() -> bytes:
    """A reply of Coinbase's /market/products."""
    row = {"product_id": "BTC-USD", "base_currency_id": "BTC", "quote_currency_id": "USD", "product_type": "SPOT"}
    row |= {"base_increment": "0.00000001", "quote_increment": "0.01", "price_increment": "0.01", "status": "online"}
    return json.dumps({"products": [row]}).encode()


def coinbase_candles(count: int, start: datetime = ASKED - timedelta(hours=2), step: int = 300) -> bytes:
    """A reply of Coinbase's candles, newest first."""
    first = int(start.timestamp())
    rows = [
        {"start": str(first + step * n), "low": "99.5", "high": "101.5", "open": "100", "close": str(100 + n / 100)}
        | {"volume": f"{n}.25"}
        for n in range(count)
    ]
    return json.dumps({"candles": rows[::-1]}).encode()


CONDITION = "0x" + "ab" * 32


def polymarket_market(condition: str = CONDITION, **changes: Any) -> dict[str, Any]:
    """A market as Gamma lists it."""
    return {
        "id": "1",
        "conditionId": condition,
        "question": "Will it rain?",
        "slug": f"rain-{condition[-4:]}",
        "outcomes": '["Yes", "No"]',
        "outcomePrices": '["0.4", "0.6"]',
        "clobTokenIds": '["11", "12"]',
        "active": True,
        "closed": False,
        "startDate": "2026-11-01T00:00:00Z",
        "endDate": "2026-12-31T00:00:00Z",
        "orderPriceMinTickSize": 0.01,
        "volumeNum": 100.0,
        "liquidityNum": 12.5,
        "events": [{"id": "7"}],
        **changes,
    }


def polymarket_markets(*markets: dict[str, Any], cursor: str | None = None) -> bytes:
    """A page of /markets/keyset."""
    page: dict[str, Any] = {"markets": list(markets) or [polymarket_market()]}
    return json.dumps(page if cursor is None else {**page, "next_cursor": cursor}).encode()


def polymarket_prices(count: int, start: datetime = ASKED - timedelta(hours=2)) -> bytes:
    """A reply of /prices-history, a sample every minute."""
    first = int(start.timestamp())
    return json.dumps({"history": [{"t": first + 60 * n, "p": 0.4 + n % 50 / 100} for n in range(count)]}).encode()


def fill(folder: Path, source: str, pages: Iterable[tuple[str, str, bytes]], at: datetime = ASKED) -> Inbox:
    """Write (kind, stream, body) into the inbox of a source below `folder`, as a collector does."""
    inbox = Inbox(folder / ".tidemill/inbox" / source)
    writer = Writer(inbox)
    for kind, stream, body in pages:
        writer.append(kind, Header(stream, "", at, token=1), body)
        writer.flush(at)
    writer.close()
    return inbox
