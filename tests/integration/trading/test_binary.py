"""A binary market on paper: NO is bought by selling YES, sizes follow Kelly, a payout ends the position."""

from __future__ import annotations

from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking, orders
from agent.trading.config import TradingAgentConfig
from agent.trading.steps.execute import follow
from pipelines.costs import Costs
from tests.paper import HOUR, START, D, MovedClock, cycles, feed_of, listing, trader

MARKET = "test:ELECTION"
COSTS = Costs(half_spread=0.01, fee=0.07, is_binary=True)


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def feed(side: int, probability: float, paid: int | None = None) -> Any:
    known: dict[str, Any] = {"kind": "binary"}
    if paid is not None:
        known |= {"payout": D(paid), "resolved_at": START + 3 * HOUR}
    return feed_of(
        {MARKET: [0.5] * 6},
        {MARKET: dict.fromkeys(range(6), side)},
        [listing(MARKET, COSTS, **known)],
        probability=probability,
        horizon_bars=None,
        may_short=True,
    )


@pytest.mark.parametrize(("side", "probability", "outcome"), [(1, 0.9, "yes"), (-1, 0.1, "no")])
@pytest.mark.parametrize("paid", [0, 1])
def test_a_position_is_held_to_its_payout(
    database: Database, side: int, probability: float, outcome: str, paid: int
) -> None:
    clock = MovedClock()
    with trader(database, feed(side, probability, paid), clock, ("ELECTION",), max_binary_loss_pct=100.0) as one:
        one.recover()
        cycles(one, clock, range(3))
        agent = one.desk.agent_id
        (fill,) = rows(database, booking.fills_of, "paper", "main")
        assert (fill["outcome"], fill["side"], fill["price"]) == (outcome, "buy", D("0.51"))
        assert fill["fee"] == fill["quantity"] * D("0.017493")  # 0.07 x 0.51 x 0.49
        before = rows(database, booking.newest_equity, agent)["cash"]
        clock.at = START + 3 * HOUR
        follow(one.desk)
        one.recover()
        cash = rows(database, booking.newest_equity, agent)["cash"]
        won = (outcome == "yes") == (paid == 1)
        assert cash - before == (fill["quantity"] if won else 0)
        assert one.desk.platform.snapshot((), None).cash == cash
    (trade,) = rows(database, booking.trades_of, agent)
    assert trade["reason"] == "settlement"
    assert rows(database, booking.positions_of, agent)[0]["state"] == "settled"
    assert [each["purpose"] for each in rows(database, orders.of_agent, agent)] == ["open"]


def test_without_an_edge_after_the_fee_nothing_is_bought(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed(1, 0.53), clock, ("ELECTION",)) as one:
        one.recover()
        assert cycles(one, clock, (0,))[0].refused == 1
        assert rows(database, orders.of_agent, one.desk.agent_id) == []


def test_the_stake_is_a_quarter_of_kellys(database: Database) -> None:
    # Believed by half: 0.5 + 0.5 x (0.9 - 0.5) = 0.7 against a cost of 0.51 + 0.017493.
    clock = MovedClock()
    with trader(database, feed(1, 0.9), clock, ("ELECTION",), max_binary_loss_pct=100.0) as one:
        one.recover()
        cycles(one, clock, (0,))
        (order,) = rows(database, orders.of_agent, one.desk.agent_id)
    part = TradingAgentConfig().kappa * (0.7 - 0.527493) / (1 - 0.527493)
    assert order["quantity"] == int(10_000 * part / 0.527493)
