"""Every recorded reply through its adapter, no row of it lost without a reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from pipelines.feed import Feed, FeedFault, Parsed, Stream
from pipelines.plugins.discovery import feed_names, load_feed, load_source, settings_of_source
from tests.paths import RECORDINGS, needs_recordings

pytestmark = needs_recordings

# Replies with rows: how many are taken, and as what.
ROWS = {
    "binance/exchange_info_response.json": ("markets", 1),
    "binance/http_spot_market_exchange_info.json": ("markets", 2),
    "binance/http_spot_market_klines.json": ("bars", 10),
    "binance/http_spot_market_trades.json": ("trades", 10),
    "binance/trades_response.json": ("trades", 1),
    "coinbase-exchange/candles_1m_2018-02.json": ("bars", 10),
    "coinbase-exchange/products_2018.json": ("markets", 10),
    "coinbase-exchange/trades_2024-03.json": ("trades", 1),
    "coinbase/advanced_ticker_trades_2024-04.json": ("trades", 1),
    "coinbase/http_candles.json": ("bars", 2),
    "coinbase/http_products.json": ("markets", 2),
    "coinbase/http_ticker.json": ("trades", 3),
    "kalshi/golden_event_single.json": ("markets", 1),
    "kalshi/golden_markets_list.json": ("markets", 5),
    "kalshi/golden_series_candlesticks.json": ("bars", 90),
    "kalshi/golden_trades_list.json": ("trades", 5),
    "kalshi/live_candles_2026-09.json": ("bars", 3),
    "kalshi/markets_2026-06.json": ("markets", 2),
    "kalshi/markets_page1.json": ("markets", 100),
    "kalshi/trades_2026-10.json": ("trades", 3),
    "oanda/instruments-v3_instruments_instrument_candles.json": ("bars", 5),
    "polymarket/book.json": ("quotes", 1),
    "polymarket/clob_book_2026-10.json": ("quotes", 1),
    "polymarket/clob_market_closed_binary_accepting_true.json": ("markets", 1),
    "polymarket/clob_markets_page1_first25.json": ("markets", 24),  # one was archived before it had a condition
    "polymarket/clob_simplified_markets.json": ("markets", 150),
    "polymarket/data_api_trades.json": ("trades", 50),
    "polymarket/events_list.json": ("markets", 0),  # it only names three
    "polymarket/gamma_events_by_slug.json": ("markets", 1),
    "polymarket/gamma_market.json": ("markets", 1),
    "polymarket/gamma_market_closed_binary_accepting_true.json": ("markets", 1),
    "polymarket/gamma_market_closed_nonbinary_legacy.json": ("markets", 1),
    "polymarket/gamma_market_sports_market_map_handicap.json": ("markets", 1),
    "polymarket/gamma_markets_closed_2026-01.json": ("markets", 50),
    "polymarket/gamma_markets_page1.json": ("markets", 250),
    "polymarket/gamma_markets_updown_5m_2026-06-08.json": ("markets", 60),
    "polymarket/markets_list.json": ("markets", 3),
    "polymarket/prices_history_1d.json": ("quotes", 1440),
    "polymarket/prices_history_max.json": ("quotes", 4456),
    "polymarket/trades.json": ("trades", 4),
}


EXCHANGES = ("binance", "coinbase", "coinbase-exchange")
SYMBOLS = "BTCUSD BTCUSDC BTCUSDT ETHBTC ETHUSDT LTCEUR LTCUSD LTCBTC ETHEUR ETHUSD BTCGBP BTCEUR ETCBTC"


def feed(folder: str) -> Feed:
    name, values = (folder, {}) if folder not in EXCHANGES else ("exchange", {"symbols": tuple(SYMBOLS.split())})
    return load_feed(name)(settings_of_source(load_source(name))(**values))


def reply(name: str) -> bytes:
    data = (RECORDINGS / name).read_bytes()
    found = json.loads(data)
    return json.dumps(found["response"]).encode() if isinstance(found, dict) and "response" in found else data


def parsed(name: str) -> tuple[Stream, Parsed]:
    adapter, body = feed(name.partition("/")[0]), reply(name)
    stream = adapter.recognise(body)
    assert isinstance(stream, Stream)
    return stream, adapter.parse(stream, body)


def recorded() -> list[str]:
    folders = [RECORDINGS / name for name in (*feed_names(), *EXCHANGES)]
    return sorted(str(path.relative_to(RECORDINGS)) for folder in folders for path in folder.glob("*.json"))


@pytest.mark.parametrize("name", recorded())
def test_a_reply_is_taken_whole_or_is_none_that_is_collected(name: str) -> None:
    if name not in ROWS:
        assert isinstance(feed(name.partition("/")[0]).recognise(reply(name)), str)
        return
    stream, found = parsed(name)
    assert found.quarantined.is_empty(), found.quarantined.to_dicts()[:2]
    assert (stream.kind, found.frame.height) == ROWS[name]
    assert not found.unknown


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name][1]])
def test_each_row_without_a_required_field_is_quarantined_and_the_others_stay(name: str) -> None:
    """Whatever is taken out of a row or retyped: it is never lost without a word, nor read as something else."""
    adapter, body = feed(name.partition("/")[0]), json.loads(reply(name))
    stream = adapter.recognise(json.dumps(body).encode())
    assert isinstance(stream, Stream)
    row = _only_row(body)
    assert adapter.parse(stream, json.dumps(body).encode()).frame.height == 1
    for field in list(row) if isinstance(row, dict) else range(len(row)):
        kept = row[field]
        for value in (None, [], {"x": 1}, "not a number", 7):
            row[field] = value
            try:
                found = adapter.parse(stream, json.dumps(body).encode())
            except FeedFault:  # the reply is itself the row
                assert row is body
                continue
            assert found.read >= 1 or field == "markets", (field, value)
        row[field] = kept


def _only_row(body: Any) -> Any:
    """The first row of a reply, which then has no other one."""
    rows = body
    if not isinstance(body, list) and "conditionId" not in body:
        names = ("markets", "candlesticks", "trades", "history", "data", "candles", "products", "symbols")
        rows = next((body[name] for name in names if isinstance(body.get(name), list)), [])
    if not isinstance(rows, list) or not rows:
        return body
    del rows[1:]
    return rows[0]


def test_of_the_closed_markets_of_2020_and_2021_190_are_resolved_and_60_unknown() -> None:
    _, found = parsed("polymarket/gamma_markets_page1.json")
    assert Counter(found.frame.get_column("status")) == {"resolved": 190, "closed": 60}
    unknown = found.frame.filter(found.frame.get_column("resolution").is_null())
    assert unknown.get_column("resolved_at").null_count() == unknown.height == 60


def test_candles_of_the_third_generation_have_their_quotes_and_no_price_from_before() -> None:
    _, found = parsed("kalshi/live_candles_2026-09.json")
    rows = found.frame.select("bid_close", "ask_close", "close", "volume").rows()
    assert rows == [(0.0, 0.01, 0.005, 0.0)] * 3


def test_candles_with_trades_have_their_prices() -> None:
    raw = json.loads(reply("kalshi/golden_series_candlesticks.json"))["candlesticks"]
    _, found = parsed("kalshi/golden_series_candlesticks.json")
    for row, bar in zip(raw, found.frame.iter_rows(named=True), strict=True):
        assert bar["end"].timestamp() == row["end_period_ts"]
        if row["price"]["close"] is not None:
            assert [bar[name] for name in ("open", "high", "low", "close")] == [
                float(row["price"][f"{name}_dollars"]) for name in ("open", "high", "low", "close")
            ]
        assert bar["ask_close"] == float(row["yes_ask"]["close_dollars"])
