"""Polymarket's websocket of markets: trades, and the best prices as samples. It numbers no messages: what is lost shows
only by the end of a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pipelines.feed import Heard, Parsed, Refused, Stream, Subscription
from pipelines.inbox.rows import BadRow, PassedOver, Row, decode, epoch, number, parse_rows, sequence, text

_MOST = 500  # tokens of one connection
_BEAT = 10.0  # seconds; PING is answered by PONG
_CHANGE = ("event_type", "market", "price_changes", "timestamp")
_TRADE = ("event_type", "market", "asset_id", "fee_rate_bps", "price", "side", "size", "timestamp", "transaction_hash")


class PolymarketSocket:
    """Subscriptions to the tokens that are followed."""

    def __init__(self, settings: Any) -> None:
        self._url = settings.socket_url

    def subscriptions(self, streams: Iterable[Stream]) -> Iterable[Subscription]:
        """One for each 500 tokens."""
        found = tuple(streams)
        for at in range(0, len(found), _MOST):
            group = found[at : at + _MOST]
            hello = json.dumps({"type": "market", "assets_ids": [_token(one) for one in group]})
            yield Subscription(f"{self._url}/ws/market", (hello,), group, _BEAT, "PING")

    def listener(self, subscription: Subscription) -> PolymarketListener:
        """For one connection."""
        return PolymarketListener(subscription)

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """Trades, or the middle of the best bid and ask where that changed."""
        market, token = stream.key.split("/")[0], _token(stream)
        known = {"market_id": f"polymarket:{market}"}
        if stream.kind == "trades":
            return parse_rows("ticks", decode(body), _TRADE, lambda row: {**known, **_trade(row)})
        return parse_rows("ticks", decode(body), _CHANGE, lambda row: {**known, **_sample(row, token)})


class PolymarketListener:
    """Tells of which stream a message is."""

    def __init__(self, subscription: Subscription) -> None:
        self._streams = {_token(one): one for one in subscription.streams}

    def hear(self, message: str) -> Heard:
        """One message, or a list of them. The book of a token that is sent at the start says that it is subscribed."""
        if message in ("PONG", "INVALID OPERATION"):
            if message == "PONG":
                return Heard()
            raise Refused("the venue does not accept the subscription")
        reply = decode(message.encode())
        messages = reply if isinstance(reply, list) else [reply]
        rows = [row for one in messages if isinstance(one, Mapping) for row in self._rows(one)]
        return Heard(tuple(rows), is_ack=any(isinstance(one, Mapping) and "event_type" in one for one in messages))

    def _rows(self, message: Row) -> Iterable[tuple[str, str]]:
        kind = message.get("event_type")
        if kind == "last_trade_price":
            tokens, wanted = [message.get("asset_id")], "trades"
        elif kind == "price_change":
            changes = message.get("price_changes")
            tokens = [one.get("asset_id") for one in changes or () if isinstance(one, Mapping)]
            wanted = "quotes"
        else:
            return
        for token in dict.fromkeys(tokens):
            stream = self._streams.get(str(token))
            if stream is not None and stream.kind == wanted:
                yield stream.key, json.dumps(message)


def _token(stream: Stream) -> str:
    return stream.key.split("/")[1]


def _trade(row: Row) -> Mapping[str, Any]:
    side = text(row, "side").upper()
    if side not in ("BUY", "SELL"):
        raise BadRow(f"side is {side!r}, neither BUY nor SELL")
    identity = [str(row.get(name)) for name in _TRADE]
    return {
        "ts": epoch(number(row, "timestamp") / 1000, "timestamp"),
        "seq": sequence(*identity),
        "price": float(number(row, "price")),
        "size": float(number(row, "size")),
        "side": side.lower(),
    }


def _sample(row: Row, token: str) -> Mapping[str, Any]:
    changes = [one for one in row["price_changes"] if one.get("asset_id") == token]
    if not changes:
        raise PassedOver("it is about another token")
    bid, ask = (number(changes[-1], name) for name in ("best_bid", "best_ask"))
    if not Decimal(0) < bid < ask < Decimal(1):
        raise PassedOver("one side of the book is empty")
    return {
        "ts": epoch(number(row, "timestamp") / 1000, "timestamp"),
        "seq": 0,
        "price": float((bid + ask) / 2),
        "bid": float(bid),
        "ask": float(ask),
    }
