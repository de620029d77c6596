"""What a venue's replies look like, field by field: one check for recorded replies and for those that are generated, so
that what runs against a generated venue is not easier than the real one.

    assert faults_of("kalshi", body) == []
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from pipelines.data.venues.known_fields import (
    KALSHI_CANDLE,
    KALSHI_MARKET,
    KALSHI_TRADE,
    OANDA_CANDLE,
    OANDA_INSTRUMENT,
    POLYMARKET_MARKET,
    POLYMARKET_TRADE,
)
from pipelines.inbox.rows import iso

Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """A text that is not empty."""
    return isinstance(value, str) and value != ""


def is_number(value: Any) -> bool:
    """A JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """A whole JSON number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_decimal(value: Any) -> bool:
    """A number written as a text."""
    try:
        return isinstance(value, str) and Decimal(value).is_finite()
    except InvalidOperation:
        return False


def is_time(value: Any) -> bool:
    """ISO text with a zone."""
    try:
        return isinstance(value, str) and iso(value) is not None
    except ValueError:
        return False


def is_seconds(value: Any) -> bool:
    """Whole seconds since 1970, of this age."""
    return is_whole(value) and 10**9 < value < 4 * 10**9


def is_milliseconds(value: Any) -> bool:
    """Whole milliseconds since 1970, of this age."""
    return is_whole(value) and 10**12 < value < 4 * 10**12


def is_seconds_text(value: Any) -> bool:
    """The same as a text."""
    return isinstance(value, str) and value.isdecimal() and is_seconds(int(value))


def is_list_text(value: Any) -> bool:
    """A list of texts, as JSON within a text."""
    try:
        found = json.loads(value)
    except (TypeError, ValueError):
        return False
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def is_bool(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def one_of(*values: Any) -> Check:
    """One of these values."""
    return lambda value: value in values


def each(check: Check, *names: str) -> Check:
    """An object whose fields of these names, where it has them and they are not null, are alike."""
    return lambda value: (
        isinstance(value, Mapping) and all(value[name] is None or check(value[name]) for name in names if name in value)
    )


@dataclass(frozen=True)
class Shape:
    """Rows of one kind of reply. required: field -> check. optional: checked where the field is there and not null.
    known: all fields that may be there; empty: those of both. either: of each group a field must be there."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    either: Sequence[tuple[str, ...]] = ()

    def faults(self, row: Any) -> Iterator[str]:
        """What is wrong with a row, in words."""
        if not isinstance(row, Mapping):
            yield f"it is {type(row).__name__}, not an object"
            return
        for name in sorted(self.required.keys() - row.keys()):
            yield f"{name} is missing"
        for name in sorted(row.keys() - (self.known or {*self.required, *self.optional})):
            yield f"{name} is no field of the venue"
        for name, check in {**self.optional, **self.required}.items():
            value = row.get(name)
            if name in row and not (value is None and name in self.optional) and not check(value):
                yield f"{name} is {value!r:.60}"
        for names in self.either:
            if not any(row.get(name) is not None for name in names):
                yield f"none of {', '.join(names)} is there"


@dataclass(frozen=True)
class Columns:
    """Rows that are arrays: a check per place."""

    checks: Sequence[Check]

    def faults(self, row: Any) -> Iterator[str]:
        """What is wrong with a row, in words."""
        if not isinstance(row, list) or len(row) != len(self.checks):
            yield f"it is no array of {len(self.checks)}"
            return
        for place, (value, check) in enumerate(zip(row, self.checks, strict=True)):
            if not check(value):
                yield f"place {place} is {value!r:.60}"


_SIDES = ("open", "high", "low", "close")
_DOLLARS = each(is_decimal, *(f"{name}_dollars" for name in _SIDES), "mean_dollars", "previous_dollars")
_OHLC = each(is_decimal, "o", "h", "l", "c")

_KALSHI_MARKETS = Shape(
    {
        "ticker": is_text,
        "event_ticker": is_text,
        "market_type": one_of("binary", "scalar"),
        "title": is_text,
        "status": is_text,
        "result": one_of("", "yes", "no", "scalar", "void"),
        "open_time": is_time,
        "close_time": is_time,
        "last_price_dollars": is_decimal,
        "liquidity_dollars": is_decimal,
        "price_level_structure": is_text,
        "price_ranges": lambda value: all(each(is_decimal, "start", "end", "step")(one) for one in value),
    },
    {"volume_fp": is_decimal, "volume": is_number, "settlement_ts": is_time},
    KALSHI_MARKET,
    [("volume_fp", "volume")],
)
_KALSHI_CANDLES = Shape(
    {"end_period_ts": is_seconds, "price": _DOLLARS, "yes_bid": _DOLLARS, "yes_ask": _DOLLARS},
    {"volume_fp": is_decimal, "volume": is_number, "open_interest_fp": is_decimal},
    KALSHI_CANDLE,
    [("volume_fp", "volume")],
)
_KALSHI_TRADES = Shape(
    {
        "ticker": is_text,
        "trade_id": is_text,
        "created_time": is_time,
        "yes_price_dollars": is_decimal,
        "no_price_dollars": is_decimal,
        "taker_side": one_of("yes", "no"),
    },
    {"count_fp": is_decimal, "count": is_number, "taker_outcome_side": one_of("yes", "no")},
    KALSHI_TRADE,
    [("count_fp", "count")],
)
_POLYMARKET_MARKETS = Shape(
    {
        "id": is_text,
        "conditionId": is_text,
        "question": is_text,
        "slug": is_text,
        "outcomes": is_list_text,
        "outcomePrices": is_list_text,
        "active": is_bool,
        "closed": is_bool,
        "volumeNum": is_number,
    },
    {
        "clobTokenIds": is_list_text,
        "startDate": is_time,
        "endDate": is_time,
        "closedTime": is_time,
        "volume": is_decimal,
        "liquidityNum": is_number,
        "orderPriceMinTickSize": is_number,
    },
    POLYMARKET_MARKET,
)
_POLYMARKET_PRICES = Shape({"t": is_seconds, "p": is_number})
_POLYMARKET_TRADES = Shape(
    {
        "proxyWallet": is_text,
        "side": one_of("BUY", "SELL"),
        "asset": is_decimal,
        "conditionId": is_text,
        "size": is_number,
        "price": is_number,
        "timestamp": is_seconds,
        "outcome": is_text,
        "outcomeIndex": is_whole,
        "transactionHash": is_text,
    },
    known=POLYMARKET_TRADE,
)
_OANDA_INSTRUMENTS = Shape(
    {"name": is_text, "type": is_text, "displayName": is_text, "pipLocation": is_whole, "displayPrecision": is_whole},
    known=OANDA_INSTRUMENT,
)
_OANDA_CANDLES = Shape(
    {"time": is_time, "complete": is_bool, "volume": is_whole},
    dict.fromkeys(("mid", "bid", "ask"), _OHLC),
    OANDA_CANDLE,
    [("mid", "bid", "ask")],
)
_COINBASE_CANDLES = Shape(
    {"start": is_seconds_text, **dict.fromkeys(("low", "high", "open", "close", "volume"), is_decimal)}
)
_COINBASE_PRODUCTS = {
    "product_id": is_text,
    "base_currency_id": is_text,
    "quote_currency_id": is_text,
    "product_type": one_of("SPOT", "FUTURE"),
    "status": is_text,
    "base_increment": is_decimal,
    "quote_increment": is_decimal,
    "trading_disabled": is_bool,
}
_COINBASE_EXCHANGE_PRODUCTS = {
    "id": is_text,
    "base_currency": is_text,
    "quote_currency": is_text,
    "quote_increment": is_decimal,
    "display_name": is_text,
    "status": is_text,
}
_COINBASE_EXCHANGE_CANDLES = Columns([is_seconds, *[is_number] * 5])
_BINANCE_SYMBOLS = {
    "symbol": is_text,
    "status": is_text,
    "baseAsset": is_text,
    "quoteAsset": is_text,
    "baseAssetPrecision": is_whole,
    "quoteAssetPrecision": is_whole,
    "isSpotTradingAllowed": is_bool,
    "permissions": lambda value: isinstance(value, list),
    "filters": lambda value: all(is_text(one.get("filterType")) for one in value),
}
_BINANCE_KLINES = Columns(
    [is_milliseconds, *[is_decimal] * 5, is_milliseconds, is_decimal, is_whole, is_decimal, is_decimal, is_decimal]
)
_BINANCE_AGGREGATES = Shape(
    {"a": is_whole, "p": is_decimal, "q": is_decimal, "f": is_whole, "l": is_whole, "T": is_milliseconds}
    | {"m": is_bool, "M": is_bool}
)
_BINANCE_TRADES = Shape(
    {"id": is_whole, "price": is_decimal, "qty": is_decimal, "time": is_milliseconds, "isBuyerMaker": is_bool},
    {"quoteQty": is_decimal, "isBestMatch": is_bool},
)


class _Open(Shape):
    """Rows of which the fields are not all known."""

    def faults(self, row: Any) -> Iterator[str]:
        """What is wrong with a row, but for fields besides."""
        return (one for one in super().faults(row) if not one.endswith("no field of the venue"))


def rows_and_shape(venue: str, reply: Any) -> tuple[Sequence[Any], Shape | Columns] | None:
    """The rows of a reply and what they look like; None for a reply that this knows nothing of. `venue`: polymarket,
    kalshi, oanda or exchange."""
    if isinstance(reply, list):
        return _of_list(venue, reply)
    if not isinstance(reply, Mapping):
        return None
    shapes: Mapping[str, Shape | Columns] = {
        "kalshi": {"markets": _KALSHI_MARKETS, "candlesticks": _KALSHI_CANDLES, "trades": _KALSHI_TRADES},
        "polymarket": {"markets": _POLYMARKET_MARKETS, "history": _POLYMARKET_PRICES},
        "oanda": {"instruments": _OANDA_INSTRUMENTS, "candles": _OANDA_CANDLES},
        "exchange": {
            "candles": _COINBASE_CANDLES,
            "products": _Open(_COINBASE_PRODUCTS),
            "symbols": _Open(_BINANCE_SYMBOLS),
        },
    }[venue]
    name = next((name for name in shapes if isinstance(reply.get(name), list)), None)
    return None if name is None else (reply[name], shapes[name])


def _of_list(venue: str, reply: Sequence[Any]) -> tuple[Sequence[Any], Shape | Columns] | None:
    first = reply[0] if reply else {}
    if venue == "polymarket" and "outcomePrices" in first:
        return reply, _POLYMARKET_MARKETS
    if venue == "polymarket" and "transactionHash" in first and "conditionId" in first:
        return reply, _POLYMARKET_TRADES
    if venue == "exchange" and isinstance(first, list):
        return reply, _BINANCE_KLINES if len(first) == 12 else _COINBASE_EXCHANGE_CANDLES
    names: Sequence[tuple[str, Shape]] = (
        ("base_currency", _Open(_COINBASE_EXCHANGE_PRODUCTS)),
        ("a", _BINANCE_AGGREGATES),
        ("isBuyerMaker", _BINANCE_TRADES),
    )
    found = next((shape for name, shape in names if venue == "exchange" and name in first), None)
    return None if found is None else (reply, found)


def faults_of(venue: str, body: bytes) -> list[str]:
    """What is wrong with a reply of `venue`, a line per fault. Raises ValueError where this knows no such reply."""
    found = rows_and_shape(venue, json.loads(body))
    if found is None:
        raise ValueError(f"no reply of {venue} with markets, bars, trades or prices")
    rows, shape = found
    return [f"row {number}: {fault}" for number, row in enumerate(rows, 1) for fault in shape.faults(row)]
