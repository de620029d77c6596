"""Value at risk: a loss that is passed on one day in twenty (at 0.95). Pure; losses and notionals in units of account.

Historical: the k-th largest loss of the positions of today over past days, k = ceil((1 - c) N), not interpolated.
Parametric: z_c sqrt(w' S w), mean 0, S the exponentially weighted covariance with lambda 0.94 (RiskMetrics 1996).
Binary: exact, over all outcomes of all events; normal figures mean nothing for what pays 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from statistics import NormalDist

DECAY = 0.94
LEAST_DAYS, MOST_DAYS = 60, 250
BASIS_POINT = 1e-4
_SURE = 1e-9  # sums of probabilities are off by less

Returns = Mapping[str, Sequence[float]]  # market -> simple returns of the same days, the oldest first
Event = Sequence[tuple[float, float]]  # outcomes of one event, of which one comes true: (probability, loss if so)


def rank_of(confidence: float, count: int) -> int:
    """k = ceil((1 - c) N) for N losses. In Decimal: (1 - 0.95) x 100 is 5.000000000000004 in floats, and 6 too many."""
    share = (1 - Decimal(str(confidence))) * count
    return max(1, int(share.to_integral_value(rounding=ROUND_CEILING)))


def kth_largest(losses: Sequence[float], confidence: float) -> float:
    """The loss at `rank_of`, the largest first. Raises ValueError where there are none."""
    if not losses:
        raise ValueError("there are no losses to take a rank of")
    return sorted(losses, reverse=True)[rank_of(confidence, len(losses)) - 1]


def historical(notionals: Mapping[str, float], returns: Returns, confidence: float) -> float:
    """VaR of signed `notionals` over the newest MOST_DAYS of `returns`; at least 0."""
    days = min((len(returns[market]) for market in notionals), default=0)
    losses = [
        -sum(notional * returns[market][-day] for market, notional in notionals.items())
        for day in range(1, min(days, MOST_DAYS) + 1)
    ]
    return max(0.0, kth_largest(losses, confidence)) if losses else 0.0


def covariance(returns: Returns) -> dict[tuple[str, str], float]:
    """S_ij = (1 - lambda) sum of lambda^k r_i r_j, the newest day with k = 0, weights scaled to sum to 1; mean 0."""
    days = min((len(one) for one in returns.values()), default=0)
    weights = [DECAY**age for age in range(days)]
    whole = sum(weights)
    return {
        (one, two): sum(weight * returns[one][-1 - age] * returns[two][-1 - age] for age, weight in enumerate(weights))
        / whole
        for one in returns
        for two in returns
        if whole
    }


def parametric(notionals: Mapping[str, float], matrix: Mapping[tuple[str, str], float], confidence: float) -> float:
    """z_c sqrt(w' S w) of signed `notionals`."""
    variance = sum(first * second * matrix[a, b] for a, first in notionals.items() for b, second in notionals.items())
    return NormalDist().inv_cdf(confidence) * math.sqrt(max(0.0, variance))


def binary(events: Sequence[Event], equity: float, confidence: float) -> float:
    """VaR of binary positions: the smallest x with P(loss <= x) > c. Events are independent; losses lie on a grid of a
    basis point of equity, each rounded up. The probabilities of an event must sum to 1."""
    step = equity * BASIS_POINT
    distribution = {0: 1.0}
    for event in events:
        combined: dict[int, float] = {}
        for steps, known in distribution.items():
            for probability, loss in event:
                total = steps + math.ceil(loss / step - _SURE)
                combined[total] = combined.get(total, 0.0) + known * probability
        distribution = combined
    reached = 0.0
    for steps in sorted(distribution):
        reached += distribution[steps]
        if reached > confidence + _SURE:
            return max(0.0, steps * step)
    return max(0.0, max(distribution) * step)


def used(
    notionals: Mapping[str, float],
    returns: Returns,
    events: Sequence[Event],
    *,
    equity: float,
    confidence: float,
    stops: Mapping[str, float],
) -> float:
    """max(historical, parametric) + binary, without credit for diversification between the two; markets with fewer
    than LEAST_DAYS of history add |w| x max(their stop, 10 %). stops: fractions, where one is known."""
    known = {market: one for market, one in notionals.items() if len(returns.get(market, ())) >= LEAST_DAYS}
    past = {market: returns[market] for market in known}
    priced = max(historical(known, past, confidence), parametric(known, covariance(past), confidence))
    unknown = sum(abs(one) * max(stops.get(name, 0.0), 0.1) for name, one in notionals.items() if name not in known)
    return priced + unknown + binary(events, equity, confidence)
