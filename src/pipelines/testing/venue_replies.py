"""Venues that write prices into the shape of their replies, as they are now: for runs from a list to a release.

Their replies pass the same field-by-field check as recorded ones. Nothing later than `now()` is ever said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from pipelines.testing.venues import Answer, Asked, pages_of

_CENT = 0.01


@dataclass(frozen=True)
class Trade:
    """A price at an instant, and how much was traded."""

    at: datetime
    price: float
    size: float = 1.0


@dataclass
class Market:
    """A market of a venue: its trades in order of time, and how it ended, where it has."""

    name: str
    trades: Sequence[Trade]
    opened_at: datetime
    closes_at: datetime
    won: bool | None = None  # None: it has not ended
    settled_at: datetime | None = None

    def is_settled(self, now: datetime) -> bool:
        """Whether it is known who won."""
        return self.won is not None and self.settled_at is not None and self.settled_at <= now


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class KalshiVenue:
    """Kalshi, in the schema of late 2026."""

    markets: Mapping[str, Market]
    now: Callable[[], datetime] = _now
    page: int = 1000
    gone: set[str] = field(default_factory=set)  # markets that its lists no longer have

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        parts = asked.path.strip("/").split("/")
        if parts == ["markets"]:
            return self._list(asked)
        if parts == ["markets", "trades"]:
            return self._trades(asked)
        if parts[-1] == "candlesticks" and parts[-2] in self.markets:
            return self._candles(asked, self.markets[parts[-2]])
        return Answer({"error": {"code": "not_found"}}, 404)

    def _list(self, asked: Asked) -> Answer:
        now = self.now()
        named = asked.one("tickers")
        rows = [one for one in self.markets.values() if one.opened_at <= now and one.name not in self.gone]
        if named:
            rows = [one for one in rows if one.name in named.split(",")]
        elif asked.one("status") == "open":
            rows = [one for one in rows if not one.is_settled(now) and now < one.closes_at]
        if event := asked.one("event_ticker"):
            rows = [one for one in rows if one.name.rpartition("-")[0] == event]
        if series := asked.one("series_ticker"):
            rows = [one for one in rows if one.name.startswith(series)]
        size = min(self.page, int(asked.one("limit", "100")))
        found, place = pages_of(rows, size, asked.one("cursor"))
        return Answer({"cursor": place, "markets": [self._market(one, now) for one in found]})

    def _market(self, market: Market, now: datetime) -> dict[str, Any]:
        known = [one for one in market.trades if one.at <= now]
        is_settled = market.is_settled(now)
        row = {
            "ticker": market.name,
            "event_ticker": market.name.rpartition("-")[0],
            "market_type": "binary",
            "title": f"Will {market.name} happen?",
            "yes_sub_title": market.name.rpartition("-")[2],
            "status": "finalized" if is_settled else "closed" if now >= market.closes_at else "active",
            "result": ("yes" if market.won else "no") if is_settled else "",
            "open_time": _iso(market.opened_at),
            "close_time": _iso(market.closes_at),
            "price_level_structure": "linear_cent",
            "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
            "volume_fp": f"{sum(one.size for one in known):.2f}",
            "liquidity_dollars": "100.0000",
            "last_price_dollars": f"{known[-1].price if known else 0:.4f}",
            "settlement_timer_seconds": "1800",
        }
        return {**row, "settlement_ts": _iso(market.settled_at)} if is_settled and market.settled_at else row

    def _trades(self, asked: Asked) -> Answer:
        market = self.markets.get(asked.one("ticker"))
        if market is None:
            return Answer({"cursor": "", "trades": []})
        low, high = (_epoch(asked.one(name)) for name in ("min_ts", "max_ts"))
        high = min(high, self.now())
        numbered = [(n, one) for n, one in enumerate(market.trades) if low <= one.at <= high]
        found, place = pages_of(numbered[::-1], min(self.page, int(asked.one("limit", "100"))), asked.one("cursor"))
        return Answer({"cursor": place, "trades": [_kalshi_trade(market, n, one) for n, one in found]})

    def _candles(self, asked: Asked, market: Market) -> Answer:
        step = int(asked.one("period_interval")) * 60
        low, high = int(asked.one("start_ts")), min(int(asked.one("end_ts")), int(self.now().timestamp()) + step)
        ends = {
            end: list(rows)
            for end, rows in groupby(
                (one for one in market.trades if one.at <= self.now()),
                key=lambda one: int(one.at.timestamp()) // step * step + step,
            )
        }
        rows = [_candle(end, found) for end, found in ends.items() if low <= end <= high]
        return Answer({"ticker": market.name, "candlesticks": rows})


def _kalshi_trade(market: Market, number: int, trade: Trade) -> dict[str, Any]:
    side = ("yes", "no")[number % 2]
    return {
        "trade_id": f"{market.name}-{number}",
        "ticker": market.name,
        "created_time": _iso(trade.at),
        "yes_price_dollars": f"{trade.price:.4f}",
        "no_price_dollars": f"{1 - trade.price:.4f}",
        "count_fp": f"{trade.size:.2f}",
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": ("bid", "ask")[number % 2],
        "is_block_trade": False,
    }


def _candle(end: int, trades: Sequence[Trade]) -> dict[str, Any]:
    prices = [one.price for one in trades]
    bounds = {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}

    def side(off: float) -> dict[str, str]:
        return {f"{name}_dollars": f"{min(1.0, max(0.0, value + off)):.4f}" for name, value in bounds.items()}

    return {
        "end_period_ts": end,
        "open_interest_fp": "100.00",
        "price": {**side(0), "mean_dollars": f"{sum(prices) / len(prices):.4f}"},
        "volume_fp": f"{sum(one.size for one in trades):.2f}",
        "yes_bid": side(-_CENT),
        "yes_ask": side(_CENT),
    }


@dataclass
class PolymarketVenue:
    """Gamma, CLOB and Data of Polymarket under one address; markets are known by their condition."""

    markets: Mapping[str, Market]
    now: Callable[[], datetime] = _now
    most_span: timedelta = timedelta(days=15)
    has_keyset: bool = True
    gone: set[str] = field(default_factory=set)

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        if asked.path in ("/markets/keyset", "/markets") and (self.has_keyset or asked.path == "/markets"):
            return self._list(asked)
        if asked.path.startswith("/markets/0x") and (market := self.markets.get(asked.path.rpartition("/")[2])):
            return Answer(self._clob_market(market))
        if asked.path == "/prices-history":
            return self._prices(asked)
        if asked.path == "/trades":
            return self._trades(asked)
        return Answer({"error": "not found"}, 404)

    def _list(self, asked: Asked) -> Answer:
        now, names = self.now(), [value for name, value in asked.params if name == "condition_ids"]
        rows = [one for one in self.markets.values() if one.opened_at <= now and one.name not in self.gone]
        if names:
            rows = [one for one in rows if one.name in names]
        if is_closed := asked.one("closed"):
            rows = [one for one in rows if one.is_settled(now) == (is_closed == "true")]
        place = asked.one("after_cursor") or asked.one("offset")
        found, following = pages_of(rows, min(100, int(asked.one("limit", "20"))), place)
        markets = [self._market(one, now) for one in found]
        if asked.path == "/markets":
            return Answer(markets)
        return Answer({"markets": markets, **({"next_cursor": following} if following else {})})

    def _market(self, market: Market, now: datetime) -> dict[str, Any]:
        is_closed = market.is_settled(now)
        known = [one for one in market.trades if one.at <= now]
        price = float(bool(market.won)) if is_closed else known[-1].price if known else 0.5
        row = {
            "id": market.name[-6:],
            "conditionId": market.name,
            "question": f"Will {market.name[-6:]} happen?",
            "slug": f"will-{market.name[-6:]}-happen",
            "outcomes": '["Yes", "No"]',
            "outcomePrices": f'["{price:g}", "{1 - price:g}"]',
            "clobTokenIds": f'["{_token(market)}1", "{_token(market)}2"]',
            "active": True,
            "closed": is_closed,
            "startDate": _iso(market.opened_at),
            "endDate": _iso(market.closes_at),
            "orderPriceMinTickSize": 0.01,
            "volume": f"{sum(one.size for one in known):g}",
            "volumeNum": sum(one.size for one in known),
            "liquidityNum": 100.0,
            "events": [{"id": "1", "title": "An event"}],
        }
        if is_closed and market.settled_at is not None:
            row |= {"closedTime": f"{market.settled_at:%Y-%m-%d %H:%M:%S}+00", "umaResolutionStatus": "resolved"}
        return row

    def _clob_market(self, market: Market) -> dict[str, Any]:
        is_closed = market.is_settled(self.now())
        tokens = [
            {"token_id": f"{_token(market)}{n}", "outcome": name, "price": 0.5, "winner": is_closed and won}
            for n, name, won in ((1, "Yes", market.won is True), (2, "No", market.won is False))
        ]
        return {"condition_id": market.name, "closed": is_closed, "active": True, "tokens": tokens}

    def _prices(self, asked: Asked) -> Answer:
        low, high = (_epoch(asked.one(name)) for name in ("startTs", "endTs"))
        if high - low > self.most_span:
            return Answer({"error": "invalid filters: 'startTs' and 'endTs' interval is too long"}, 400)
        market = next((one for one in self.markets.values() if asked.one("market") == f"{_token(one)}1"), None)
        high = min(high, self.now())
        rows = [] if market is None else [one for one in market.trades if low <= one.at <= high]
        return Answer({"history": [{"t": int(one.at.timestamp()), "p": round(one.price, 4)} for one in rows]})

    def _trades(self, asked: Asked) -> Answer:
        market = self.markets.get(asked.one("market"))
        rows = [] if market is None else [one for one in market.trades if one.at <= self.now()]
        offset = int(asked.one("offset", "0"))
        found = list(enumerate(rows))[::-1][offset : offset + int(asked.one("limit", "100"))]
        return Answer([_polymarket_trade(market, n, one) for n, one in found] if market else [])


def _polymarket_trade(market: Market, number: int, trade: Trade) -> dict[str, Any]:
    is_yes = number % 3 != 0
    return {
        "proxyWallet": "0x" + "00" * 20,
        "side": ("BUY", "SELL")[number % 2],
        "asset": f"{_token(market)}{1 if is_yes else 2}",
        "conditionId": market.name,
        "size": trade.size,
        "price": round(trade.price if is_yes else 1 - trade.price, 4),
        "timestamp": int(trade.at.timestamp()),
        "outcome": "Yes" if is_yes else "No",
        "outcomeIndex": 0 if is_yes else 1,
        "transactionHash": f"0x{number:064x}",
    }


@dataclass
class OandaVenue:
    """OANDA v20: bars with bid and ask, for whoever has the key. `markets` by instrument; prices with so many `digits`
    after the point."""

    markets: Mapping[str, Market]
    now: Callable[[], datetime] = _now
    key: str = "secret"
    half_spread: float = 5e-5
    digits: int = 5

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        if asked.headers.get("authorization") != f"Bearer {self.key}":
            return Answer({"errorMessage": "Insufficient authorization to perform request."}, 401)
        parts = asked.path.strip("/").split("/")
        if parts[-1] == "instruments":
            wanted = asked.one("instruments").split(",")
            rows = [_instrument(name, self.digits) for name in self.markets if name in wanted]
            return Answer({"instruments": rows, "lastTransactionID": "1"})
        if parts[-1] == "candles" and parts[-2] in self.markets:
            return self._candles(asked, self.markets[parts[-2]])
        return Answer({"errorMessage": "Invalid value specified for 'instrument'"}, 400)

    def _candles(self, asked: Asked, market: Market) -> Answer:
        step = _SECONDS[asked.one("granularity")]
        low, high, now = _epoch(asked.one("from")), _epoch(asked.one("to")), self.now()
        if high > now + timedelta(seconds=1):
            return Answer({"errorMessage": "Invalid value specified for 'to'. Time is in the future"}, 400)
        bars = groupby(
            (one for one in market.trades if low <= one.at <= high),
            key=lambda one: int(one.at.timestamp()) // step * step,
        )
        rows = [self._candle(start, list(found), start + step <= now.timestamp()) for start, found in bars]
        rows = [row for row in rows if row["time"] >= f"{low:%Y-%m-%dT%H:%M:%S}"]  # one that began before is not given
        return Answer({"instrument": market.name, "granularity": asked.one("granularity"), "candles": rows})

    def _candle(self, start: int, trades: Sequence[Trade], is_over: bool) -> dict[str, Any]:
        prices = [one.price for one in trades]
        bounds = {"o": prices[0], "h": max(prices), "l": min(prices), "c": prices[-1]}
        sides = {
            side: {name: f"{value + off:.{self.digits}f}" for name, value in bounds.items()}
            for side, off in (("mid", 0.0), ("bid", -self.half_spread), ("ask", self.half_spread))
        }
        time = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%S}.000000000Z"
        return {"time": time, "complete": is_over, "volume": len(trades), **sides}


_SECONDS = {"S5": 5, "S10": 10, "S15": 15, "S30": 30, "M1": 60, "M5": 300, "M15": 900, "M30": 1800}
_SECONDS |= {"H1": 3600, "H4": 14_400, "D": 86_400}


def _instrument(name: str, digits: int) -> dict[str, Any]:
    shown = name.replace("_", "/")
    return {"name": name, "type": "CURRENCY", "displayName": shown, "pipLocation": -4, "displayPrecision": digits}


def _token(market: Market) -> str:
    return str(int(market.name, 16))


def _iso(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _epoch(text: str) -> datetime:
    return datetime.fromtimestamp(int(text), UTC)
