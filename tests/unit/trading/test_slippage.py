"""What fills cost beside the mid of their decision, worked out by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agent.trading.measures.slippage import Drift, Paid, Seen, drift_of, is_beyond, paid_by, slippage_of
from pipelines.costs import Costs

D = Decimal
BUY = Seen("m", "buy", D(2), D(101), D(100), datetime(2026, 1, 5, tzinfo=UTC))
SELL = replace(BUY, side="sell", price=D(98), mid=D(99))


def test_a_purchase_above_and_a_sale_below_the_mid_cost() -> None:
    costs = Costs(half_spread=0.001, slippage=0.001)
    assert paid_by(BUY, costs) == Paid(D(2), D("0.4"), D(200))
    assert paid_by(SELL, costs) == Paid(D(2), D("0.396"), D(198))
    assert paid_by(replace(BUY, price=D(99)), costs) == Paid(D(-2), D("0.4"), D(200))
    assert paid_by(replace(BUY, mid=None), costs) is None


def test_costs_of_a_binary_market_are_units_of_its_payoff() -> None:
    fill = replace(BUY, price=D("0.52"), mid=D("0.5"))
    assert paid_by(fill, Costs(half_spread=0.01, is_binary=True)) == Paid(D("0.04"), D("0.02"), D(1))


def test_a_round_trip_costs_what_its_fills_did() -> None:
    assert slippage_of((BUY, SELL), True, D(2)) == D(4)
    assert slippage_of((BUY, replace(SELL, mid=None)), True, D(2)) is None


def test_a_fill_that_turns_the_position_round_counts_by_its_part() -> None:
    """Three sold where two were held: the third opens the next round trip, a short."""
    turns = replace(SELL, quantity=D(3))
    assert slippage_of((BUY, turns), True, D(2)) == D(4)
    assert slippage_of((turns, replace(BUY, quantity=D(1))), False, D(1)) == D(2)


def test_only_what_is_no_chance_is_beyond() -> None:
    draw = random.Random(7)
    fair = [Paid(D(1) + D(draw.randrange(-300, 301)) / 100, D(1), D(1000)) for _ in range(100)]
    assert not is_beyond(fair)
    dear = [replace(one, cost=one.cost + 2) for one in fair]
    assert is_beyond(dear)
    assert not is_beyond(dear[:9])
    assert is_beyond([Paid(D(2), D(1), D(1000))] * 10)
    assert not is_beyond([Paid(D(1), D(1), D(1000))] * 10)


def test_the_drift_of_fills_is_their_sum_beside_what_costs_expect() -> None:
    costs = Costs(half_spread=0.001, slippage=0.001)
    blind = replace(BUY, mid=None)
    drift = drift_of([(BUY, costs), (SELL, costs), (blind, costs)])
    assert drift == Drift(3, 1, D(398), D(4), drift.cost_bps, D("0.796"), drift.expected_bps, False)
    assert (drift.cost_bps, drift.expected_bps) == (pytest.approx(40_000 / 398), pytest.approx(20))
    assert drift_of([(BUY, costs)] * 10).is_beyond
    assert not drift_of([(BUY, costs)] * 9 + [(blind, costs)]).is_beyond, "nine say too little"


def test_where_costs_are_not_known_nothing_is_expected() -> None:
    drift = drift_of([(BUY, Costs()), (SELL, None)] * 10)
    assert (drift.cost, drift.expected, drift.expected_bps, drift.is_beyond) == (D(40), None, None, False)
    nothing = drift_of([(replace(BUY, mid=None), None)])
    assert (nothing.cost, nothing.cost_bps, nothing.expected, nothing.notional) == (None, None, None, D(0))
    assert drift_of([(BUY, Costs()), (replace(BUY, mid=None), None)]).expected == D(0), (
        "what is not measured needs none"
    )
