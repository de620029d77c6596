"""How large a stake in a binary market is. Pure.

Kelly (1956, Bell System Technical Journal 35): with p the probability of winning and c what one contract that pays 1
costs, the stake that makes wealth grow fastest is (p - c) / (1 - c) of it. A part of it is taken (kappa), since p is an
estimate: half the stake keeps three quarters of the growth.
"""

from __future__ import annotations

from pipelines.costs import unit_fee


def contract_cost(price: float, fee_rate: float) -> float:
    """Cost of one contract bought at `price`: the price, and the fee rate x price x (1 - price)."""
    return price + float(unit_fee(price, fee_rate, 1))


def shrunk(probability: float, mid: float, reliability: float) -> float:
    """mid + reliability x (probability - mid): how much of an edge over the market a single provider is believed.

    reliability: 0.5 until fifty outcomes are known, then the slope of its calibration, in 0..1. A pool that the market
    takes part in is shrunk already.
    """
    return mid + min(max(reliability, 0.0), 1.0) * (probability - mid)


def stake(probability: float, price: float, fee_rate: float, kappa: float) -> float:
    """Fraction of equity to spend on contracts at `price` whose probability is `probability`: 0 without an edge."""
    cost = contract_cost(price, fee_rate)
    if not 0.0 < cost < 1.0:
        return 0.0
    return kappa * max(0.0, (probability - cost) / (1.0 - cost))
