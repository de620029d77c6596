"""Names of markets as people write them: one market under several names is one, and nothing is guessed."""

from __future__ import annotations

import pytest

from agent.errors import UsageError
from agent.trading.pairs import markets_named, traded_and_watched
from tests.paper import listing

BTC, ETH, GOLD = "test:BTC-USD", "test:ETH-USD", "other:GOLD"
LISTINGS = [listing(BTC), listing(ETH), listing(GOLD)]


@pytest.mark.parametrize("name", [BTC, "BTC-USD", "BTCUSD", "btc/usd", "TEST:btc_usd"])
def test_a_market_has_many_names(name: str) -> None:
    assert traded_and_watched([name], [], LISTINGS) == ({BTC: name}, frozenset())


def test_a_market_that_is_named_twice_is_traded_once_by_its_first_name() -> None:
    assert traded_and_watched(["BTCUSD", "ETHUSD", "BTC-USD", BTC], ["gold", GOLD], LISTINGS) == (
        {BTC: "BTCUSD", ETH: "ETHUSD"},
        frozenset({GOLD}),
    )


@pytest.mark.parametrize("watched", ["BTC-USD", BTC, "BTCUSD"])
def test_a_market_is_traded_or_watched_whatever_it_is_called(watched: str) -> None:
    """It was watched, so that it was never traded, and nothing said so."""
    with pytest.raises(UsageError, match=r"test:BTC-USD is to be traded \(BTCUSD\) and only to be watched") as caught:
        traded_and_watched(["BTCUSD"], ["ETHUSD", watched], LISTINGS)
    assert caught.value.where == "--asset-pair and --watchlist"


@pytest.mark.parametrize(("option", "pairs"), [("--asset-pair", (["BTCUSDT"], [])), ("--watchlist", ([], ["BTCUSDT"]))])
def test_a_name_of_nothing_is_refused_where_it_stands_with_what_is_near(
    option: str, pairs: tuple[list[str], list[str]]
) -> None:
    with pytest.raises(UsageError, match="'BTCUSDT' names no market of the current release") as caught:
        traded_and_watched(*pairs, LISTINGS)
    assert (caught.value.where, BTC in caught.value.fix) == (option, True)


def test_a_name_of_several_asks_for_an_id() -> None:
    with pytest.raises(UsageError, match="'BTCUSD' names 2 markets") as caught:
        traded_and_watched(["BTCUSD"], [], [*LISTINGS, listing("kraken:BTC-USD")])
    assert "kraken:BTC-USD, test:BTC-USD" in caught.value.fix
    assert markets_named(BTC, {"kraken:BTC-USD": ["BTC-USD"], BTC: ["BTC-USD"]}) == [BTC]
