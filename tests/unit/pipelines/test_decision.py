"""The decision rule: what it enters, holds and leaves, and what no edge can exceed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.costs import Costs
from pipelines.decision import UNSURE, Decision, Forecast, Holding, Quote, Rules, decide, wanted_side

RULES = Rules(horizon_bars=5, max_positions=4, max_weight=0.5)
SHARES = Costs(half_spread=2e-4, slippage=2e-4, fee=1e-4)
BINARY = Costs(half_spread=0.01, fee=0.07, is_binary=True)
UP = Forecast(0.6, volatility=0.02, up=1.0, down=-0.8, error=0.1)
PROBABILITY = st.floats(0, 1)


def costs(is_binary: bool) -> st.SearchStrategy[Costs]:
    return st.builds(
        Costs, st.floats(0, 0.05), st.floats(0, 0.01), st.floats(0, 0.1), st.just(is_binary), st.booleans()
    )


forecasts = st.builds(
    Forecast, PROBABILITY, st.floats(0, 3), st.floats(0.01, 3), st.floats(-3, 0), st.floats(0.001, 1), st.booleans()
)
holdings = st.builds(Holding, st.sampled_from([-1, 0, 1]), st.integers(-2, 6))
rule_sets = st.builds(
    Rules, st.integers(1, 9), st.floats(0, 0.05), st.booleans(), st.integers(1, 9), st.floats(0.01, 1)
)


def test_expected_change_less_the_round_trip() -> None:
    got = decide(UP, Quote(50.0), SHARES, Holding(), RULES)
    change = 0.02 * (0.6 * 1.0 - 0.4 * 0.8)
    costs = (SHARES.unit_cost(50.0, 1) + SHARES.unit_cost(50.0, -1)) / 50.0
    assert got.net_edge == got.edge == pytest.approx(change - costs)
    assert (got.action, got.side, got.weight) == ("buy", 1, 0.25)
    assert got.threshold == pytest.approx((costs / 0.02 + 0.8) / 1.8)
    assert got.distance == pytest.approx(0.6 - got.threshold)
    assert got.confidence == pytest.approx(0.5 * (1 + math.erf((change - costs) / (0.1 * 0.02) / math.sqrt(2))))


def test_confidence_is_not_how_far_the_probability_is_from_a_half() -> None:
    sure = decide(UP, Quote(50.0), SHARES, Holding(), RULES)
    unsure = decide(replace(UP, error=5.0), Quote(50.0), SHARES, Holding(), RULES)
    unknown = decide(replace(UP, error=None), Quote(50.0), SHARES, Holding(), RULES)
    assert sure.confidence > 0.9 > 0.6 > unsure.confidence > 0.5 == unknown.confidence == UNSURE
    losing = decide(replace(UP, probability=0.01), Quote(50.0), SHARES, Holding(), RULES)
    assert losing.confidence < 0.5
    assert losing.action == "hold"


def test_a_share_at_0_9845_cannot_promise_more_than_what_is_left() -> None:
    got = decide(
        Forecast(0.99, volatility=0.2, up=1.0, down=-0.1), Quote(0.9845), Costs(is_binary=True), Holding(), RULES
    )
    assert 0 < got.net_edge <= 1 - 0.9845
    dear = decide(Forecast(0.99, volatility=0.2, up=1.0, down=-0.1), Quote(0.9845), BINARY, Holding(), RULES)
    assert (dear.action, dear.weight) == ("hold", 0.0)
    assert dear.net_edge < 0


def test_an_outcome_that_is_forecast_pays_one_cost_alone() -> None:
    got = decide(Forecast(0.8, to_resolution=True), Quote(0.6), BINARY, Holding(), RULES)
    assert got.net_edge == pytest.approx(0.2 - BINARY.unit_cost(0.6, 1))
    assert got.threshold == pytest.approx(0.6 + BINARY.unit_cost(0.6, 1))


def test_no_is_bought_where_yes_is_too_dear_even_without_short_sales() -> None:
    got = decide(Forecast(0.3, to_resolution=True), Quote(0.6), BINARY, Holding(), RULES)
    no = decide(Forecast(0.7, to_resolution=True), Quote(0.4), BINARY, Holding(), RULES)
    assert (got.action, got.side) == ("sell", -1)
    assert got.net_edge == pytest.approx(no.net_edge)
    assert got.threshold == pytest.approx(1 - (no.threshold or 0.0))
    assert got.distance == pytest.approx(no.distance)
    assert decide(Forecast(0.3, 0.1, 1.0, -1.0), Quote(50.0), SHARES, Holding(), RULES).action == "hold"


@given(forecasts, st.floats(0, 1), costs(is_binary=True), rule_sets)
def test_no_edge_exceeds_the_payoff(forecast: Forecast, price: float, costs: Costs, rules: Rules) -> None:
    got = decide(forecast, Quote(price), costs, Holding(), rules)
    assert got.edge <= 1 - price + 1e-12
    assert got.net_edge <= max(1 - price, price) + 1e-12
    if got.action == "buy":
        assert got.net_edge <= 1 - price + 1e-12
    if got.action == "sell":
        assert got.net_edge <= price + 1e-12


@given(forecasts, st.floats(0.01, 0.99), st.booleans().flatmap(costs), rule_sets)
def test_nothing_is_entered_below_the_margin(forecast: Forecast, price: float, costs: Costs, rules: Rules) -> None:
    plain = replace(forecast, to_resolution=forecast.to_resolution and costs.is_binary)
    got = decide(plain, Quote(price), costs, Holding(), rules)
    assert (got.action in ("buy", "sell")) == (got.net_edge > rules.margin) == (got.weight > 0)
    assert got.net_edge > 0 or got.action == "hold"
    if got.threshold is not None and got.distance is not None and abs(got.distance) > 1e-6:
        assert (got.distance > 0) == (got.net_edge > rules.margin)
    assert 0 <= got.confidence <= 1


@given(forecasts, st.floats(0.01, 0.99), st.booleans().flatmap(costs), holdings, rule_sets)
def test_a_position_is_left_for_the_other_side_or_at_its_horizon(
    forecast: Forecast, price: float, costs: Costs, holding: Holding, rules: Rules
) -> None:
    both = decide(forecast, Quote(price), costs, Holding(), replace(rules, allow_short=True))
    got = decide(forecast, Quote(price), costs, holding, rules)
    assert got.side == wanted_side(holding.side, holding.bars_left, both.side, rules.allow_short or costs.is_binary)
    if holding.side and got.side != holding.side:
        assert both.side == -holding.side or (holding.bars_left <= 0 and both.side == 0)
    assert (got.action == "hold") == (got.side == holding.side)


def test_a_long_position_ends_early_for_an_edge_of_the_short_side_that_may_not_be_taken() -> None:
    got = decide(Forecast(0.1, 0.02, 1.0, -1.0), Quote(50.0), SHARES, Holding(1, 3), RULES)
    assert (got.action, got.side) == ("close", 0)
    assert "other side" in got.reason


@pytest.mark.parametrize(
    ("held", "left", "enters", "short", "wanted"),
    [
        (0, 0, 1, False, 1),
        (0, 0, -1, False, 0),
        (0, 0, -1, True, -1),
        (1, 3, 0, True, 1),  # nothing new: held to its horizon
        (1, 0, 0, True, 0),
        (1, 0, 1, True, 1),  # enters again
        (1, 3, -1, True, -1),
        (1, 3, -1, False, 0),  # left, and not turned round
        (-1, 2, 1, True, 1),
        (-1, -1, -1, True, -1),
    ],
)
def test_holding(held: int, left: int, enters: int, short: bool, wanted: int) -> None:
    assert wanted_side(held, left, enters, short) == wanted


def test_an_unknown_volatility_is_held_and_said() -> None:
    got = decide(replace(UP, volatility=math.nan), Quote(50.0), SHARES, Holding(), RULES)
    cost = (SHARES.unit_cost(50.0, 1) + SHARES.unit_cost(50.0, -1)) / 50.0
    assert got == Decision("hold", 0, got.edge, pytest.approx(-cost), None, None, 0.0, UNSURE, got.reason)
    assert "nothing is expected" in got.reason
