"""Crypto exchanges through ccxt without its network: all there is comes in, once, whatever interrupts it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from pipelines.data.venues.exchanges import TIMEFRAMES
from pipelines.errors import SettingsError
from tests.integration.collect.conftest import World

BARS = [
    (name, {"venues": (name,), "timeframe": "1h"}) for name in ("coinbase", "coinbaseexchange", "binance", "kraken")
]
TRADES = [(name, {"venues": (name,), "history": "trades", "history_days": 17.4}) for name in ("binance", "kraken")]
EACH = pytest.mark.parametrize(
    ("venue", "values"), [*BARS, *TRADES], ids=[name for name, _ in BARS] + [f"{name} trades" for name, _ in TRADES]
)
LISTS = ("products", "exchangeInfo", "AssetPairs")


def prices(world: World) -> list[Any]:
    """Requests for prices, not for lists."""
    return [one for one in world.server.asked("exchange") if not one.path.endswith(LISTS)]


def whole(world: World, values: dict[str, Any]) -> Counter[str]:
    """Market -> how many trades, or bars that are over, there are."""
    found = Counter[str]()
    for name, market in world.venues["exchange"].markets.items():
        external = f"exchange:{values['venues'][0]}/{name}"
        step = TIMEFRAMES.get(values.get("timeframe", ""), 0)
        instants = {one.at.timestamp() // step if step else one for one in market.trades}
        found[external] = len(instants)
    return found


@EACH
def test_a_pass_brings_all_there_is_and_the_next_one_what_is_new(
    world: World, venue: str, values: dict[str, Any]
) -> None:
    passed = world.collect("exchange", **values)
    assert passed.is_done
    assert not passed.failed
    first = world.rows("exchange", **values)
    assert Counter(first.get_column("market_id")) == whole(world, values)
    asked = len(prices(world))
    world.pace.at += timedelta(hours=2)
    world.collect("exchange", **values)
    each = 3 if (venue, "history" in values) == ("binance", True) else 1  # an hour at a time, where there are no trades
    assert len(prices(world)) - asked == each * len(world.venues["exchange"].markets)
    assert world.rows("exchange", **values).equals(first)
    assert all(one.path.startswith(f"/{venue}/") for one in world.server.asked("exchange"))


@EACH
def test_cut_off_at_any_moment_it_goes_on_where_it_was(world: World, venue: str, values: dict[str, Any]) -> None:
    """Passes of a request or two, each by a process of its own: no page is asked for twice but the newest."""
    for _ in range(60):
        passed = world.collect("exchange", fresh=True, seconds=0.2, **values)
        if passed.is_done:
            break
    assert passed.is_done
    assert Counter(world.rows("exchange", **values).get_column("market_id")) == whole(world, values)
    asked = Counter(one.identity for one in prices(world))
    assert [what for what, count in asked.items() if count > 1] == []


def test_bars_are_those_of_the_trades(world: World) -> None:
    values = {"venues": ("binance",), "timeframe": "1h"}
    world.collect("exchange", **values)
    bars = world.rows("exchange", **values).filter(market_id="exchange:binance/BTC-USD")
    trades = world.venues["exchange"].markets["BTC-USD"].trades
    for row in bars.sample(20, seed=1).iter_rows(named=True):
        mine = [one for one in trades if row["start"] <= one.at < row["end"]]
        prices = [one.price for one in mine]
        wanted = (prices[0], max(prices), min(prices), prices[-1], sum(one.size for one in mine))
        assert tuple(row[name] for name in ("open", "high", "low", "close", "volume")) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("venue", "symbol"), [("coinbase", "BTCUSD"), ("binance", "BTC-USD"), ("kraken", "btc/usd"), ("kraken", "XBTUSD")]
)
def test_a_symbol_may_be_written_in_any_way(world: World, venue: str, symbol: str) -> None:
    source = world.source("exchange", venues=(venue,), symbols=(symbol,))
    world.collect("exchange", venues=(venue,), symbols=(symbol,), timeframe="1d")
    assert source.markets().get_column("market_id").to_list() == [f"exchange:{venue}/BTC-USD"]


def test_several_exchanges_are_several_markets(world: World) -> None:
    values = {"venues": ("coinbase", "kraken"), "symbols": ("BTC/USD",), "timeframe": "1d"}
    assert not world.collect("exchange", **values).failed
    markets = set(world.rows("exchange", **values).get_column("market_id"))
    assert markets == {"exchange:coinbase/BTC-USD", "exchange:kraken/BTC-USD"}


def test_trades_of_an_exchange_that_has_no_walk_are_refused_with_what_to_write(world: World) -> None:
    passed = world.collect("exchange", venues=("coinbase",), history="trades")
    assert set(passed.failed.values()) == {'trades of coinbase are not collected; write history = "bars"'}


def test_an_exchange_that_ccxt_does_not_know_is_named(world: World) -> None:
    with pytest.raises(SettingsError, match="ccxt knows no exchange 'coinbasse'"):
        world.collect("exchange", venues=("coinbasse",))
