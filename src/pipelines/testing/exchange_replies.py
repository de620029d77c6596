"""Crypto exchanges that write prices into the shape of their replies, each below its own name, as `proxy_url` asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from pipelines.data.venues.exchanges import TIMEFRAMES
from pipelines.testing.venue_replies import Market, Trade
from pipelines.testing.venues import Answer, Asked

_COINBASE = {
    "ONE_MINUTE": 60,
    "FIVE_MINUTE": 300,
    "FIFTEEN_MINUTE": 900,
    "THIRTY_MINUTE": 1800,
    "ONE_HOUR": 3600,
    "SIX_HOUR": 21_600,
    "ONE_DAY": 86_400,
}
_MOST = {"coinbase": 350, "coinbaseexchange": 300, "binance": 1000, "kraken": 720}
_MOST_TRADES = 1000
_NOT_FOUND = Answer({"message": "NotFound"}, 404)


@dataclass(frozen=True)
class _Bar:
    start: int  # seconds since 1970
    open: float
    high: float
    low: float
    close: float
    volume: float
    count: int


@dataclass
class ExchangeVenue:
    """Coinbase (both APIs), Binance and Kraken, as they answer in late 2026. `markets` by symbol, such as BTC-USD: each
    exchange has all of them; bars without a trade are missing, the newest one is still running."""

    markets: Mapping[str, Market]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        venue, _, path = asked.path.lstrip("/").partition("/")
        answer = {
            "coinbase": self._coinbase,
            "coinbaseexchange": self._coinbase_exchange,
            "binance": self._binance,
            "kraken": self._kraken,
        }.get(venue)
        return _NOT_FOUND if answer is None else answer(path.split("/"), asked)

    # --- each exchange ------------------------------------------------------------------------------------------

    def _coinbase(self, path: Sequence[str], asked: Asked) -> Answer:
        if path[-1] == "products":
            return Answer({"products": [_product(name) for name in self.markets], "num_products": len(self.markets)})
        if path[-1] != "candles" or path[-2] not in self.markets:
            return Answer({"error": "NOT_FOUND", "error_details": "valid product_id is required"}, 404)
        low, high = int(asked.one("start")), int(asked.one("end"))
        step = _COINBASE[asked.one("granularity")]
        if high - low > step * _MOST["coinbase"]:
            return Answer({"error": "INVALID_ARGUMENT", "message": "number of candles requested should be less"}, 400)
        rows = [
            {name: f"{getattr(bar, name):.8g}" for name in ("low", "high", "open", "close", "volume")}
            | {"start": str(bar.start)}
            for bar in self._bars(path[-2], step, low, high)
        ]
        return Answer({"candles": rows[::-1]})

    def _coinbase_exchange(self, path: Sequence[str], asked: Asked) -> Answer:
        if path == ["products"]:
            rows = []
            for name in self.markets:
                base, _, counter = name.partition("-")
                row = {"id": name, "base_currency": base, "quote_currency": counter, "quote_increment": "0.01"}
                rows.append(row | {"base_increment": "0.00000001", "display_name": name, "status": "online"})
            return Answer(rows)
        if path[-1] != "candles" or path[1] not in self.markets:
            return _NOT_FOUND
        low, high = (int(datetime.fromisoformat(asked.one(name)).timestamp()) for name in ("start", "end"))
        step = int(asked.one("granularity"))
        if high - low > step * _MOST["coinbaseexchange"]:
            return Answer({"message": "granularity too small for the requested time range"}, 400)
        bars = self._bars(path[1], step, low, high)
        return Answer([[bar.start, bar.low, bar.high, bar.open, bar.close, bar.volume] for bar in bars[::-1]])

    def _binance(self, path: Sequence[str], asked: Asked) -> Answer:
        names = {name.replace("-", ""): name for name in self.markets}
        if path[-1] == "exchangeInfo":
            return Answer(
                {"timezone": "UTC", "serverTime": self._now(), "symbols": [_symbol(one) for one in self.markets]}
            )
        name = names.get(asked.one("symbol"))
        if name is None:
            return Answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        if path[-1] == "klines":
            step = TIMEFRAMES[asked.one("interval")]
            low, high = (int(asked.one(one)) // 1000 for one in ("startTime", "endTime"))
            bars = self._bars(name, step, low, high)[: int(asked.one("limit"))]
            return Answer([_kline(bar, step) for bar in bars])
        first = int(asked.one("fromId", "0"))
        span = [int(asked.one(one, default)) for one, default in (("startTime", "0"), ("endTime", str(self._now())))]
        rows = [
            {"a": number, "p": f"{one.price:.8f}", "q": f"{one.size:.8f}", "f": number, "l": number, "T": at}
            | {"m": number % 2 == 0, "M": True}
            for number, one in enumerate(self._trades(name))
            if number >= first and span[0] <= (at := int(one.at.timestamp() * 1000)) <= span[1]
        ]
        return Answer(rows[:_MOST_TRADES])

    def _kraken(self, path: Sequence[str], asked: Asked) -> Answer:
        if path[-1] == "AssetPairs":
            return Answer({"error": [], "result": {_pair(name): _asset_pair(name) for name in self.markets}})
        name = next((name for name in self.markets if _pair(name) == asked.one("pair")), None)
        if name is None:
            return Answer({"error": ["EQuery:Unknown asset pair"]})
        since = int(asked.one("since", "0"))
        if path[-1] == "OHLC":
            step = int(asked.one("interval")) * 60
            bars = [
                bar for bar in self._bars(name, step, 0, self._now() // 1000)[-_MOST["kraken"] :] if bar.start > since
            ]
            rows = [
                [
                    bar.start,
                    *(f"{one:.5f}" for one in (bar.open, bar.high, bar.low, bar.close, bar.close, bar.volume)),
                    1,
                ]
                for bar in bars
            ]
            return Answer({"error": [], "result": {_pair(name): rows, "last": bars[-1].start if bars else since}})
        after = since if since > 10**15 else since * 10**9  # nanoseconds, or seconds at first
        found = [
            (number, one, int(one.at.timestamp()) * 10**9 + number % 1000)
            for number, one in enumerate(self._trades(name), 1)
        ]
        rest = [each for each in found if each[2] > after][:_MOST_TRADES]
        trades = [
            [f"{one.price:.5f}", f"{one.size:.8f}", at / 1e9, "bs"[number % 2], "m", "", number]
            for number, one, at in rest
        ]
        last = rest[-1][2] if rest else after
        return Answer({"error": [], "result": {_pair(name): trades, "last": str(last)}})

    # --- prices -------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self.now().timestamp() * 1000)

    def _trades(self, name: str) -> list[Trade]:
        return [one for one in self.markets[name].trades if one.at <= self.now()]

    def _bars(self, name: str, step: int, low: int, high: int) -> list[_Bar]:
        """Bars that begin from `low` to `high`, seconds since 1970, oldest first."""
        until = datetime.fromtimestamp(high, UTC) + timedelta(seconds=step)
        since = datetime.fromtimestamp(low, UTC)
        near = [one for one in self._trades(name) if since <= one.at < until]
        found = []
        for start, group in groupby(near, key=lambda one: int(one.at.timestamp()) // step * step):
            trades = list(group)
            prices = [one.price for one in trades]
            bounds = prices[0], max(prices), min(prices), prices[-1]
            found.append(_Bar(start, *bounds, sum(one.size for one in trades), len(trades)))
        return [bar for bar in found if low <= bar.start <= high]


def _product(name: str) -> dict[str, Any]:
    base, _, counter = name.partition("-")
    steps = {"base_increment": "0.00000001", "quote_increment": "0.01", "price_increment": "0.01"}
    names = {"product_id": name, "base_currency_id": base, "quote_currency_id": counter, "alias_to": []}
    return names | steps | {"product_type": "SPOT", "status": "online", "trading_disabled": False}


def _symbol(name: str) -> dict[str, Any]:
    base, _, counter = name.partition("-")
    filters = [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"}]
    names = {"symbol": base + counter, "status": "TRADING", "baseAsset": base, "quoteAsset": counter}
    sets = {"isSpotTradingAllowed": True, "permissions": [], "permissionSets": [["SPOT"]], "filters": filters}
    return names | sets | {"baseAssetPrecision": 8, "quoteAssetPrecision": 8}


def _kline(bar: _Bar, step: int) -> list[Any]:
    prices = [f"{one:.8f}" for one in (bar.open, bar.high, bar.low, bar.close, bar.volume)]
    start = bar.start * 1000
    return [start, *prices, start + step * 1000 - 1, f"{bar.close * bar.volume:.8f}", bar.count, "0", "0", "0"]


def _pair(name: str) -> str:
    """Kraken's name: XXBTZUSD."""
    base, _, counter = name.partition("-")
    return f"X{'XBT' if base == 'BTC' else base}Z{counter}"


def _asset_pair(name: str) -> dict[str, Any]:
    base, _, counter = name.partition("-")
    own = "XBT" if base == "BTC" else base
    names = {"altname": own + counter, "wsname": f"{own}/{counter}", "base": f"X{own}", "quote": f"Z{counter}"}
    rest = {"pair_decimals": 1, "lot_decimals": 8, "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "leverage_buy": []}
    return names | rest | {"status": "online", "tick_size": "0.1"}
