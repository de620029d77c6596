"""What messages of websockets are: recorded ones, and those in tests/recordings that are made by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.venues.exchange_socket import ExchangeSocket
from pipelines.data.venues.polymarket_socket import PolymarketSocket
from pipelines.feed import FeedFault, Listener, Socket, Stream, Subscription
from pipelines.sources import exchange, polymarket
from tests.paths import PROJECT

BY_HAND = PROJECT / "tests" / "recordings"
TOKEN, MARKET = "71", "0xdd"


def listen(socket: Socket, stream: Stream) -> tuple[Subscription, Listener]:
    found = next(iter(socket.subscriptions([stream])))
    return found, socket.listener(found)


def body(listener: Listener, *messages: str) -> bytes:
    return f"[{','.join(text for one in messages for _, text in listener.hear(one).rows)}]".encode()


def candles(number: int, *bars: tuple[int, str]) -> str:
    found = [
        {"start": str(1775521800 + 300 * at), "high": "3", "low": "1", "open": "2", "close": close, "volume": "1"}
        | {"product_id": "BTC-USD"}
        for at, close in bars
    ]
    events = [{"type": "update", "candles": found}]
    return json.dumps({"channel": "candles", "timestamp": "", "sequence_num": number, "events": events})


BARS = Stream("coinbase/BTC-USD/BTC-USD/5m", "bars")


def test_a_bar_of_coinbase_counts_when_the_next_one_begins() -> None:
    socket = ExchangeSocket(exchange.Settings())
    _, listener = listen(socket, BARS)
    got = body(listener, candles(0, (0, "2.1")), candles(1, (0, "2.2")), candles(2, (1, "2.5")))
    parsed = socket.parse(BARS, got)
    assert parsed.frame.select("start", "close", "market_id").rows() == [
        (datetime.fromtimestamp(1775521800, UTC), 2.2, "exchange:coinbase/BTC-USD")
    ]


def test_a_gap_of_coinbase_is_reported_and_its_bar_left_to_replies() -> None:
    _, listener = listen(ExchangeSocket(exchange.Settings()), BARS)
    listener.hear(candles(0, (0, "2.1")))
    assert listener.hear(candles(0, (0, "9"))).rows == ()  # twice
    lost = listener.hear(candles(3, (1, "2.5")))
    assert (lost.gap, lost.rows) == ("2 messages are missing", ())


def test_only_bars_that_coinbase_sends_are_subscribed_to() -> None:
    hourly = Stream("coinbase/BTC-USD/BTC-USD/1h", "bars")
    assert list(ExchangeSocket(exchange.Settings()).subscriptions([hourly])) == []


def by_hand(name: str) -> Any:
    return json.loads((BY_HAND / "binance" / name).read_text())


def test_a_closed_bar_of_binance_counts_and_a_running_one_does_not() -> None:
    socket, stream = ExchangeSocket(exchange.Settings()), Stream("binance/BTCUSD/BTC-USD/1m", "bars")
    _, listener = listen(socket, stream)
    message = by_hand("stream_kline.json")
    parsed = socket.parse(stream, body(listener, json.dumps(message)))
    assert parsed.frame.select("open", "close", "volume").rows() == [(16570.1, 16580.0, 12.5)]
    assert (parsed.unknown, parsed.quarantined.height) == ({}, 0)
    message["data"]["k"]["x"] = False
    assert listener.hear(json.dumps(message)).rows == ()


def test_trades_of_binance_are_numbered() -> None:
    socket, stream = ExchangeSocket(exchange.Settings()), Stream("binance/BTCUSD/BTC-USD/trades", "trades")
    _, listener = listen(socket, stream)
    message = by_hand("stream_agg_trade.json")
    parsed = socket.parse(stream, body(listener, json.dumps(message)))
    assert parsed.frame.select("seq", "price", "size", "side").rows() == [(12345, 16570.1, 0.5, "sell")]
    assert listener.hear(json.dumps(message)).rows == ()
    message["data"]["a"] += 3
    assert listener.hear(json.dumps(message)).gap == "2 trades are missing"


def test_samples_of_polymarket_are_the_middle_of_the_book() -> None:
    socket, stream = PolymarketSocket(polymarket.Settings()), Stream(f"{MARKET}/{TOKEN}/10", "quotes")
    subscription, listener = listen(socket, stream)
    assert json.loads(subscription.hello[0])["assets_ids"] == [TOKEN]
    change = {"asset_id": TOKEN, "price": "0.5", "side": "BUY", "size": "1", "best_bid": "0.51", "best_ask": "0.53"}
    message = {"event_type": "price_change", "market": MARKET, "price_changes": [change], "timestamp": "1703875201000"}
    parsed = socket.parse(stream, body(listener, json.dumps(message)))
    assert parsed.frame.select("price", "bid", "ask").rows() == [(0.52, 0.51, 0.53)]
    change["best_bid"] = "0"
    assert socket.parse(stream, body(listener, json.dumps(message))).frame.is_empty()


def test_recorded_messages_of_polymarket_are_read() -> None:
    recordings = PROJECT.parent / "shared" / "recordings" / "polymarket"
    if not recordings.is_dir():
        pytest.skip("no recordings here")
    trade = Path(recordings / "ws_market_last_trade_msg.json").read_text()
    token = json.loads(trade)["asset_id"]
    for kind, name in (("trades", "last_trade"), ("quotes", "price_change")):
        stream = Stream(f"0xdd/{token}/10", kind)  # type: ignore[arg-type]
        socket = PolymarketSocket(polymarket.Settings())
        _, listener = listen(socket, stream)
        parsed = socket.parse(stream, body(listener, (recordings / f"ws_market_{name}_msg.json").read_text()))
        assert (parsed.frame.height, parsed.quarantined.height, parsed.unknown) == (1, 0, {})


@pytest.mark.parametrize("socket", [ExchangeSocket(exchange.Settings()), PolymarketSocket(polymarket.Settings())])
@pytest.mark.parametrize("message", ["<html>", '{"type": "error", "message": "no"}', "INVALID OPERATION"])
def test_what_is_no_message_is_a_fault_or_nothing(socket: Socket, message: str) -> None:
    is_exchange = isinstance(socket, ExchangeSocket)
    _, listener = listen(socket, BARS if is_exchange else Stream("0x/1/1", "quotes"))
    if not is_exchange and message.startswith("{"):
        assert listener.hear(message).rows == ()
        return
    with pytest.raises(FeedFault):
        listener.hear(message)
