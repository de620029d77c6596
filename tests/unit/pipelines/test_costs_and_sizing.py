"""Costs of a fill and the size of a position."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.costs import Costs
from pipelines.sizing import entry_notional, position_weight

money = st.floats(0, 1e6)


def test_buyers_pay_more_and_sellers_get_less() -> None:
    costs = Costs.from_bps(fee_bps=10, slippage_bps=5)
    assert costs.fill_price(100.0, 2.0) == pytest.approx(100.05)
    assert costs.fill_price(100.0, -2.0) == pytest.approx(99.95)
    assert costs.fee(-2.0, 99.95) == pytest.approx(2 * 99.95 * 0.001)
    assert costs.fill_fraction == pytest.approx(1.0005 * 1.001 - 1)


@given(money, money, money, st.floats(0.001, 1), st.floats(0, 0.1))
def test_a_position_is_never_on_credit(equity: float, cash: float, exposure: float, weight: float, cost: float) -> None:
    notional = entry_notional(equity, cash, exposure, weight, cost)
    assert notional >= 0
    slack = 1e-9 * (1 + equity + cash)
    assert notional * (1 + cost) <= cash + slack
    assert notional <= weight * equity + slack
    assert notional == 0 or exposure + notional <= equity + slack


def test_no_size_without_equity() -> None:
    assert entry_notional(-1.0, 5.0, 0.0, 0.2, 0.0) == 0.0


def test_weights_are_equal_shares_up_to_the_limit() -> None:
    assert position_weight(4, 1.0) == 0.25
    assert position_weight(4, 0.1) == 0.1
