"""Stakes and values at risk, by the numbers of the specification and by property."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.trading.measures import var
from agent.trading.measures.kelly import contract_cost, shrunk, stake


@pytest.mark.parametrize(("rate", "percent"), [(0.0, 5.000), (0.04, 4.592), (0.07, 4.275)])
def test_a_quarter_of_kellys_stake(rate: float, percent: float) -> None:
    """Acceptance test 2."""
    assert stake(0.60, 0.50, rate, 0.25) * 100 == pytest.approx(percent, abs=5e-4)


def test_no_edge_after_the_fee_no_stake() -> None:
    assert contract_cost(0.50, 0.07) == pytest.approx(0.5175)
    assert stake(0.51, 0.50, 0.07, 0.25) == 0.0
    assert stake(0.51, 0.50, 0.0, 0.25) > 0.0
    assert stake(1.0, 1.0, 0.0, 0.25) == 0.0


@given(st.floats(0, 1), st.floats(0.001, 0.999), st.floats(0, 0.2), st.floats(0, 0.5))
def test_a_stake_is_a_part_of_equity_and_grows_with_the_probability(
    p: float, price: float, rate: float, k: float
) -> None:
    found = stake(p, price, rate, k)
    assert 0.0 <= found <= k
    assert stake(min(1.0, p + 0.01), price, rate, k) >= found


def test_a_single_provider_is_half_believed() -> None:
    assert shrunk(0.6, 0.5, 0.5) == pytest.approx(0.55)
    assert shrunk(0.6, 0.5, 7.0) == pytest.approx(0.6)
    assert shrunk(0.6, 0.5, -1.0) == pytest.approx(0.5)


def test_the_fifth_largest_of_a_hundred() -> None:
    """Acceptance test 4: a float would make it the sixth."""
    assert math.ceil((1 - 0.95) * 100) == 6
    assert [var.rank_of(0.95, count) for count in (100, 250, 60, 1)] == [5, 13, 3, 1]
    assert var.kth_largest([float(one) for one in range(1, 101)], 0.95) == 96.0
    with pytest.raises(ValueError, match="no losses"):
        var.kth_largest([], 0.95)


def test_historical_is_of_todays_positions() -> None:
    returns = {"a": [-one / 10_000 for one in range(1, 101)], "b": [0.0] * 100}
    assert var.historical({"a": 10_000.0, "b": 5.0}, returns, 0.95) == pytest.approx(96.0)
    assert var.historical({"a": -10_000.0}, returns, 0.95) == 0.0, "a short earns on each of these days"
    assert var.historical({}, {}, 0.95) == 0.0
    longer = {"a": [-0.5] * 300 + [0.0] * 250}
    assert var.historical({"a": 10_000.0}, longer, 0.95) == 0.0, "older than 250 days"


def test_parametric_by_hand() -> None:
    """Acceptance test 3: 3 % and 1 %, correlation 0.5, 6 000 and 4 000: 333.87, which is 1.669 % of 20 000."""
    matrix = {("a", "a"): 0.03**2, ("b", "b"): 0.01**2, ("a", "b"): 0.5 * 0.0003, ("b", "a"): 0.5 * 0.0003}
    found = var.parametric({"a": 6_000.0, "b": 4_000.0}, matrix, 0.95)
    assert found == pytest.approx(333.87, abs=5e-3)
    assert found / 20_000 * 100 == pytest.approx(1.669, abs=5e-4)
    hedged = var.parametric({"a": 6_000.0, "b": -4_000.0}, matrix, 0.95)
    assert hedged < found


def test_the_newest_day_counts_most() -> None:
    assert var.covariance({"a": [0.1, 0.1, 0.1]})["a", "a"] == pytest.approx(0.01)
    newest = var.covariance({"a": [0.0, 0.1]})["a", "a"]
    oldest = var.covariance({"a": [0.1, 0.0]})["a", "a"]
    assert newest == pytest.approx(0.01 / 1.94)
    assert oldest == pytest.approx(0.01 * 0.94 / 1.94)
    assert var.covariance({}) == {}


def test_binary_by_the_convention_of_the_largest() -> None:
    """1..100, each as likely: 96 again, as above."""
    event = [(0.01, float(one)) for one in range(1, 101)]
    assert var.binary([event], 1_000_000.0, 0.95) == pytest.approx(100.0), "on a grid of 100, rounded up"
    assert var.binary([event], 10_000.0, 0.95) == pytest.approx(96.0)


def test_binary_is_exact_over_all_outcomes() -> None:
    events = [[(0.3, 40.0), (0.7, -60.0)], [(0.5, 20.0), (0.5, -20.0)], [(0.1, 90.0), (0.9, -10.0)]]
    outcomes = sorted(
        (sum(loss for _, loss in each), math.prod(probability for probability, _ in each))
        for each in itertools.product(*events)
    )
    for confidence in (0.8, 0.9, 0.95, 0.99):
        reached, expected = 0.0, 0.0
        for loss, probability in outcomes:
            reached += probability
            if reached > confidence + 1e-9:
                expected = loss
                break
        assert var.binary(events, 10_000.0, confidence) == pytest.approx(max(0.0, expected))
    assert var.binary([], 10_000.0, 0.95) == 0.0


def test_without_history_the_stop_counts_and_a_tenth_at_least() -> None:
    short = {"a": [0.01] * 59}
    for stop, expected in ((0.02, 100.0), (0.2, 200.0)):
        found = var.used({"a": -1_000.0}, short, [], equity=10_000.0, confidence=0.95, stops={"a": stop})
        assert found == pytest.approx(expected)
    assert var.used({"a": 1_000.0}, {}, [], equity=10_000.0, confidence=0.95, stops={}) == pytest.approx(100.0)


def test_the_larger_figure_is_used_and_binary_is_added() -> None:
    returns = {"a": [0.01, -0.01] * 50}
    event = [(0.5, 50.0), (0.5, -50.0)]
    figures = {"equity": 10_000.0, "confidence": 0.95, "stops": {}}
    alone = var.used({"a": 1_000.0}, returns, [], **figures)  # type: ignore[arg-type]  # as named
    assert alone == pytest.approx(16.4485, abs=1e-3), "z x 10, more than the historical 10"
    assert var.used({"a": 1_000.0}, returns, [event], **figures) == pytest.approx(alone + 50.0)  # type: ignore[arg-type]


@given(st.lists(st.floats(-0.2, 0.2), min_size=60, max_size=80), st.floats(0, 10_000), st.floats(1, 3))
def test_more_of_the_same_is_never_less_risk(past: list[float], notional: float, factor: float) -> None:
    def of(size: float) -> float:
        return var.used({"a": size}, {"a": past}, [], equity=10_000.0, confidence=0.95, stops={})

    assert of(notional * factor) >= of(notional) * (1 - 1e-12)
    assert of(notional) >= 0.0
