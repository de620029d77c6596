"""Websockets of exchanges: bars of Coinbase (of 5 minutes, the only ones it sends), bars and trades of Binance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from pipelines.data.venues.exchanges import Key
from pipelines.feed import Heard, Parsed, Refused, Stream, Subscription
from pipelines.inbox.rows import BadRow, PassedOver, Row, decode, epoch, from_epoch, number, parse_rows

_URLS = {"coinbase": "wss://advanced-trade-ws.coinbase.com", "binance": "wss://stream.binance.com:9443"}
_BEATS = {"coinbase": 1.0, "binance": 20.0}  # seconds: Coinbase's heartbeats, Binance's pings
_COINBASE_BARS = "5m"
_CANDLE = ("start", "open", "high", "low", "close", "volume", "product_id")
_KLINE = ("e", "E", "s", "k")
_TRADE = ("e", "E", "s", "a", "p", "q", "nq", "f", "l", "T", "m", "M")


class ExchangeSocket:
    """A connection for each exchange that has one."""

    def __init__(self, settings: Any) -> None:
        self._proxy = settings.proxy_url.rstrip("/")

    def subscriptions(self, streams: Iterable[Stream]) -> Iterable[Subscription]:
        """Of Coinbase and Binance."""
        by_venue: dict[str, list[Stream]] = {}
        for stream in streams:
            by_venue.setdefault(Key(stream.key).venue, []).append(stream)
        for venue, found in by_venue.items():
            if venue == "coinbase":
                found = [one for one in found if Key(one.key).what == _COINBASE_BARS]
            if venue in _URLS and found:
                yield self._subscription(venue, tuple(found))

    def _subscription(self, venue: str, streams: tuple[Stream, ...]) -> Subscription:
        url = f"ws{self._proxy.removeprefix('http')}/{venue}" if self._proxy else _URLS[venue]
        if venue == "binance":
            names = [_binance_name(one) for one in streams]
            hello = json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1})
            return Subscription(f"{url}/stream", (hello,), streams, _BEATS[venue])
        products = [Key(one.key).handle for one in streams]
        hellos = [
            json.dumps({"type": "subscribe", "channel": "heartbeats"}),
            json.dumps({"type": "subscribe", "channel": "candles", "product_ids": products}),
        ]
        return Subscription(url, tuple(hellos), streams, _BEATS[venue])

    def listener(self, subscription: Subscription) -> CoinbaseListener | BinanceListener:
        """For one connection."""
        is_binance = Key(subscription.streams[0].key).venue == "binance"
        return BinanceListener(subscription) if is_binance else CoinbaseListener(subscription)

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """Bars that are over, or trades."""
        key, rows = Key(stream.key), decode(body)
        known = {"market_id": f"exchange:{key.venue}/{key.pair}"}
        if stream.kind == "trades":
            return parse_rows("ticks", rows, _TRADE, lambda row: {**known, **_trade(row)})
        if key.venue == "binance":
            return parse_rows("bars", rows, _KLINE, lambda row: {**known, **_kline(row, key.step)})
        return parse_rows("bars", rows, _CANDLE, lambda row: {**known, **_candle(row, key.step)})


class CoinbaseListener:
    """Takes the last that was said of a bar when the next one has begun: it is over then. sequence_num counts all
    messages of a connection."""

    def __init__(self, subscription: Subscription) -> None:
        self._streams = {Key(one.key).handle: one.key for one in subscription.streams}
        self._running: dict[str, Row] = {}
        self._expected: int | None = None

    def hear(self, message: str) -> Heard:
        """One message."""
        reply = decode(message.encode())
        if not isinstance(reply, Mapping) or reply.get("type") == "error":
            raise Refused(f"the venue does not accept the subscription: {message[:200]}")
        channel, got = reply.get("channel"), reply.get("sequence_num")
        gap = ""
        if isinstance(got, int):
            if self._expected is not None and got < self._expected:
                return Heard()  # it came twice
            if self._expected is not None and got > self._expected:
                gap = f"{got - self._expected} messages are missing"
            self._expected = got + 1
        candles: list[Any] = []
        if channel == "candles":
            for event in reply.get("events") or ():
                candles += event.get("candles") or ()
        rows = [row for candle in sorted(candles, key=_start) for row in self._over(candle, is_lost=bool(gap))]
        is_ack = channel == "subscriptions" and any(
            "candles" in one.get("subscriptions", {}) for one in reply["events"]
        )
        return Heard(tuple(rows), is_ack, gap)

    def _over(self, candle: Row, *, is_lost: bool) -> Iterable[tuple[str, str]]:
        product = str(candle.get("product_id"))
        last = self._running.get(product)
        if product not in self._streams or (last is not None and _start(candle) < _start(last)):
            return
        self._running[product] = candle
        # After a gap the last that was heard of the bar before need not be the last that was said.
        if last is not None and _start(candle) > _start(last) and not is_lost:
            yield self._streams[product], json.dumps(last)


class BinanceListener:
    """Takes bars that are closed, and trades; aggregated trades of a market are numbered one after the other."""

    def __init__(self, subscription: Subscription) -> None:
        self._streams = {_binance_name(one): one.key for one in subscription.streams}
        self._expected: dict[str, int] = {}

    def hear(self, message: str) -> Heard:
        """One message."""
        reply = decode(message.encode())
        if not isinstance(reply, Mapping) or "error" in reply:
            raise Refused(f"the venue does not accept the subscription: {message[:200]}")
        if "result" in reply:
            return Heard(is_ack=True)
        name, data = str(reply.get("stream")), reply.get("data")
        if name not in self._streams or not isinstance(data, Mapping):
            return Heard()
        if data.get("e") == "kline":
            is_over = isinstance(data.get("k"), Mapping) and data["k"].get("x") is True
            return Heard(((self._streams[name], json.dumps(data)),) if is_over else ())
        number, gap = data.get("a"), ""
        if isinstance(number, int):
            expected = self._expected.get(name, number)
            if number < expected:
                return Heard()  # it came twice
            gap = f"{number - expected} trades are missing" if number > expected else ""
            self._expected[name] = number + 1
        return Heard(((self._streams[name], json.dumps(data)),), gap=gap)


def _start(candle: Row) -> int:
    try:
        return int(candle["start"])
    except (LookupError, TypeError, ValueError):
        return 0  # it is quarantined when it is read


def _binance_name(stream: Stream) -> str:
    key = Key(stream.key)
    return f"{key.handle.lower()}@{'aggTrade' if stream.kind == 'trades' else f'kline_{key.what}'}"


def _candle(row: Row, step: timedelta) -> Mapping[str, Any]:
    return _bar(row, step, from_epoch(row, "start"), ("open", "high", "low", "close", "volume"))


def _kline(row: Row, step: timedelta) -> Mapping[str, Any]:
    kline = row["k"]
    if kline.get("x") is not True:
        raise PassedOver("the bar is still running")
    start = epoch(number(kline, "t") / 1000, "t")
    if epoch((number(kline, "T") + 1) / 1000, "T") != start + step:
        raise BadRow("it is a bar of another length")
    return _bar(kline, step, start, ("o", "h", "l", "c", "v"))


def _bar(row: Row, step: timedelta, start: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    values = [float(number(row, name)) for name in names]
    columns = ("open", "high", "low", "close", "volume")
    return {"start": start, "end": start + step, **dict(zip(columns, values, strict=True))}


def _trade(row: Row) -> Mapping[str, Any]:
    identity = row["a"]
    if not isinstance(identity, int) or identity < 0:
        raise BadRow(f"a is {identity!r}, no number of a trade")
    return {
        "ts": epoch(number(row, "T") / 1000, "T"),
        "seq": identity,
        "price": float(number(row, "p")),
        "size": float(number(row, "q")),
        "side": "sell" if row["m"] is True else "buy",
    }
