"""What a start says of costs: a round trip beside the limits of loss."""

from __future__ import annotations

from typing import Any

import pytest

from agent.trading.config import Layer, parse
from agent.trading.feed import Listing
from agent.trading.starting import costs_text, warning_of, warnings_of
from pipelines.costs import Costs
from tests.paper import listing

CHEAP = listing("test:BTC-USD", Costs(fee=0.001))
DEAR = listing("test:ETH-USD", Costs(fee=0.001, half_spread=0.002))
BINARY = listing("test:RAIN-YES", Costs(fee=0.04, half_spread=0.01, is_binary=True), kind="binary")
LIMITS = "kill_switch_loss_pct 2 %, max_drawdown_pct 5 %"


def text(*priced: tuple[Listing, float], **values: Any) -> str | None:
    return costs_text(parse([Layer("agent.toml", values)]).config, priced)


def test_one_market_is_said_with_what_it_is_of_equity() -> None:
    """0.2 % of a position of 30 % of equity are 0.06 %."""
    assert text((CHEAP, 50_000.0)) == (
        "a round trip costs 0.2 % of what is traded in test:BTC-USD, 0.06 % of equity in the largest position; "
        f"limits: {LIMITS}"
    )


def test_of_many_the_cheapest_and_the_dearest_are_said() -> None:
    """2 x (0.1 + 0.2) % of ETH; of YES at 0.5 a cent is 2 % and the fee 0.04 x 0.51 x 0.49 and 0.04 x 0.49 x 0.51."""
    said = text((DEAR, 100.0), (BINARY, 0.5), (CHEAP, 100.0))
    assert said == (
        "a round trip costs 0.2 % (test:BTC-USD) to 8 % (test:RAIN-YES) of what is traded, 0.06 % to 1.6 % of equity "
        f"in the largest position; limits: {LIMITS}"
    )


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ({"risk_percentage": 0.2}, "0.02 %"),  # 10 % of equity
        ({"stop_loss": 0.1}, "0.02 %"),
        ({"max_concentration_pct": 5.0}, "0.01 %"),
        ({"max_exposure_pct": 10.0}, "0.02 %"),
    ],
)
def test_the_largest_position_is_what_the_settings_make_it(values: dict[str, Any], share: str) -> None:
    said = text((CHEAP, 50_000.0), **values)
    assert said is not None
    assert f", {share} of equity in the largest position" in said


def test_markets_that_cost_the_same_are_counted() -> None:
    said = text((CHEAP, 0.003), (listing("test:LTC-USD", Costs(fee=0.001)), 0.07))
    assert said is not None
    assert said.startswith("a round trip costs 0.2 % of what is traded in each of 2 markets, 0.06 % of equity in the")


def test_of_many_that_are_dear_a_few_are_named() -> None:
    many = [(listing(f"test:M{number}-YES", BINARY.costs, kind="binary"), 0.5) for number in range(9)]
    said = warnings_of(parse([]).config, many)
    assert (len(said), said[-1]) == (6, "and so it is in 4 more markets")
    assert warnings_of(parse([]).config, many[:5]) == [warning_of(parse([]).config, *one) for one in many[:5]]


def test_limits_that_are_off_are_not_there() -> None:
    values = {"kill_switch_loss_pct": "off", "stop_loss": 0.02, "max_daily_loss_pct": 0.01}
    said = text((CHEAP, 50_000.0), **values)
    assert said is not None
    assert said.endswith("; limits: stop_loss 2 %, max_daily_loss_pct 1 %, max_drawdown_pct 5 %")
    assert text() is None


def test_a_round_trip_of_more_than_a_third_of_the_limit_is_warned_of() -> None:
    config = parse([]).config
    assert warning_of(config, CHEAP, 100.0) is None
    said = warning_of(config, BINARY, 0.5)
    assert said == (
        "one round trip in test:RAIN-YES costs 8.00 % of what is traded, more than a third of kill_switch_loss_pct"
        " = 2.00 %"
    )
