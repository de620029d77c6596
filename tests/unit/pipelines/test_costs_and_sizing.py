"""Costs of a fill and the size of a position."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.costs import DEFAULTS, Costs, CostSettings, costs_of, unit_cost
from pipelines.data.checks import KINDS
from pipelines.sizing import entry_notional, position_weight

money = st.floats(0, 1e6)
PRICE = st.floats(0.001, 0.999)


def test_buyers_pay_more_and_sellers_get_less() -> None:
    costs = Costs(half_spread=2e-4, slippage=3e-4, fee=10e-4)
    assert costs.fill_price(100.0, 1) == pytest.approx(100.05)
    assert costs.fill_price(100.0, -1) == pytest.approx(99.95)
    assert costs.unit_fee(99.95) == pytest.approx(99.95 * 0.001)
    assert costs.unit_cost(100.0, 1) == pytest.approx(0.05 + 100.05 * 0.001)
    assert Costs.from_bps(10, 5) == Costs(slippage=5e-4, fee=10e-4)


@pytest.mark.parametrize(("price", "fee"), [(0.5, 0.0175), (0.1, 0.0063), (0.9, 0.0063), (0.0, 0.0), (1.0, 0.0)])
def test_the_fee_of_a_binary_contract_is_rate_times_p_times_one_minus_p(price: float, fee: float) -> None:
    assert Costs(fee=0.07, is_binary=True).unit_fee(price) == pytest.approx(fee)


@given(PRICE, st.floats(0, 0.05), st.floats(0, 0.1))
def test_no_of_a_binary_market_costs_one_minus_its_bid(price: float, half_spread: float, rate: float) -> None:
    costs = Costs(half_spread=half_spread, fee=rate, is_binary=True)
    bid, ask_of_no = costs.fill_price(price, -1), costs.fill_price(1 - price, 1)
    assert ask_of_no == pytest.approx(1 - bid)
    assert costs.unit_fee(bid) == pytest.approx(costs.unit_fee(ask_of_no))
    assert 0 <= bid <= price <= costs.fill_price(price, 1) <= 1


@given(st.lists(PRICE, min_size=1), st.sampled_from([1, -1]), st.booleans())
def test_arrays_cost_what_their_numbers_do(prices: list[float], side: int, is_binary: bool) -> None:
    costs = Costs(half_spread=0.003, slippage=0.001, fee=0.02, is_binary=is_binary)
    distances = [costs.distance(price) for price in prices]
    together = unit_cost(np.asarray(prices), side, np.asarray(distances), costs.fee, float(is_binary))
    assert together.tolist() == pytest.approx([costs.unit_cost(price, side) for price in prices])


def test_costs_are_those_of_the_market_else_of_its_kind_else_the_default() -> None:
    told = {"equity": CostSettings(fee_bps=5, slippage_bps=1), "files:AAPL": CostSettings(fee_bps=0.5)}
    assert costs_of("files:AAPL", "equity", None, told) == Costs(half_spread=2e-4, slippage=1e-4, fee=0.5e-4)
    assert costs_of("files:IBM", "equity", 0.01, told) == Costs(half_spread=2e-4, slippage=1e-4, fee=5e-4)
    plain = costs_of("files:BTC", "spot", None, told)
    assert plain is not None
    assert (plain.fee, plain.is_default) == (DEFAULTS["spot"].costs.fee, True)


def test_a_binary_spread_is_at_least_a_tick() -> None:
    told = {"binary": CostSettings(half_spread_bps=10, fee_rate=0.04)}
    costs = costs_of("m:1", "binary", 0.01, told)
    assert costs is not None
    assert (costs.half_spread, costs.fee, costs.is_binary, costs.is_default) == (0.005, 0.04, True, False)


def test_a_kind_of_ones_own_has_no_costs_but_its_own() -> None:
    assert costs_of("m:1", "swap", None, {}) is None
    assert costs_of("m:1", "swap", None, {"m:2": CostSettings(fee_bps=1)}) is None
    assert costs_of("m:1", "swap", None, {"swap": CostSettings(fee_bps=1)}) == Costs(fee=1e-4)


def test_every_kind_but_futures_has_default_costs() -> None:
    """What a future costs depends on the contract: no default would be honest, and the gate asks for one's own."""
    found = {kind: costs_of("m:1", kind, None, {}) for kind in KINDS}
    assert {kind for kind, costs in found.items() if costs is None} == {"future"}
    assert all(costs.is_default for costs in found.values() if costs is not None)


def test_every_default_says_where_it_comes_from() -> None:
    assert all(one.source and one.costs.is_binary == (kind == "binary") for kind, one in DEFAULTS.items())


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
