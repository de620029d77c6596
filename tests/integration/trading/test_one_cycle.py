"""Limits over all that one cycle sends: what was let through before counts for what is judged after it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import orders
from agent.trading.run import Trader
from tests.paper import D, MovedClock, feed_of, trader

NAMES = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "BCH")


def one_cycle(database: Database, **settings: Any) -> tuple[Trader, list[Any], list[str]]:
    """All of NAMES would be entered at once."""
    markets = [f"test:{name}-USD" for name in NAMES]
    feed = feed_of({one: [100.0] * 4 for one in markets}, {one: {0: 1} for one in markets})
    with trader(database, feed, MovedClock(), [f"{name}USD" for name in NAMES], **settings) as one:
        one.recover()
        done = one.process_cycle()
        with database.reading() as connections:
            return one, orders.of_agent(connections.project, one.desk.agent_id), list(done.unsent)


def test_what_moves_alike_is_counted_as_it_is_let_through(database: Database) -> None:
    """All five pairs of one base were entered at once, where three may be held."""
    pairs = ["BTCUSD", "BTCEUR", "BTCGBP", "BTCJPY", "BTCCHF"]
    markets = [f"test:{one[:3]}-{one[3:]}" for one in pairs]
    feed = feed_of({one: [100.0] * 4 for one in markets}, {one: {0: 1} for one in markets})
    with trader(database, feed, MovedClock(), pairs, max_concentration_pct=10.0) as one:
        one.recover()
        done = one.process_cycle()
    assert (done.sent, done.refused) == (3, 2)
    assert done.unsent[0].startswith("refused by correlation: 3 positions move alike")


def worth(found: list[Any]) -> Any:
    return sum(each["quantity"] * 100 for each in found)


@pytest.mark.parametrize(
    ("settings", "count", "most", "says"),
    [
        ({"max_daily_trades": 2}, 2, D(6_000), "refused by daily_limit: daily limit 2 reached, 2 sent"),
        ({"max_exposure_pct": 40.0}, 2, D(4_000), "refused by exposure: all positions are at most 40 %"),
        ({"max_var_pct": 4.0}, 2, D(4_000), "refused by var: value at risk"),  # a tenth of each, without a history
    ],
)
def test_a_limit_holds_for_all_that_a_cycle_sends(
    database: Database, settings: dict[str, Any], count: int, most: Any, says: str
) -> None:
    _, found, unsent = one_cycle(database, **settings)
    assert (len(found), worth(found)) == (count, most)
    assert any(each.startswith(says) for each in unsent), unsent
