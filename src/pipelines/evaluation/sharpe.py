"""The deflated Sharpe ratio: what is left of a Sharpe ratio when one counts how many were tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, pvariance, variance

from pipelines.values import dataclass

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Track:
    """Per-period returns of a strategy in four numbers: how many, Sharpe ratio per period, skewness, kurtosis
    (3 for normal returns)."""

    periods: int
    sharpe: float
    skewness: float
    kurtosis: float


def track(returns: Sequence[float]) -> Track | None:
    """The track of per-period returns; None with fewer than two, or where they never vary."""
    if len(returns) < 2:
        return None
    mean, spread = fmean(returns), variance(returns)
    population = pvariance(returns)
    if population <= 1e-30:
        return None
    moments = [fmean((one - mean) ** power for one in returns) for power in (3, 4)]
    return Track(len(returns), mean / math.sqrt(spread), moments[0] / population**1.5, moments[1] / population**2)


def probabilistic_sharpe(one: Track, benchmark: float) -> float:
    """Probability that the true Sharpe ratio per period exceeds `benchmark`:

    Φ((SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR²))
    (Bailey and Lopez de Prado 2012, Journal of Risk 15(2), equation 11).
    """
    spread = 1 - one.skewness * one.sharpe + (one.kurtosis - 1) / 4 * one.sharpe**2
    if spread <= 0:
        return 1.0 if one.sharpe > benchmark else 0.0
    return _NORMAL.cdf((one.sharpe - benchmark) * math.sqrt(one.periods - 1) / math.sqrt(spread))


def expected_best(trials: Sequence[float]) -> float:
    """The Sharpe ratio that the best of as many trials without skill is expected to show:

    sqrt(V) ((1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e))), V the variance of the trials' Sharpe ratios, N their number, γ
    Euler's constant (Bailey and Lopez de Prado 2014, Journal of Portfolio Management 40(5), equation 6). 0 for fewer
    than two.
    """
    number = len(trials)
    if number < 2:
        return 0.0
    deviation = math.sqrt(variance(trials))
    quantiles = _NORMAL.inv_cdf(1 - 1 / number), _NORMAL.inv_cdf(1 - 1 / (number * math.e))
    return deviation * ((1 - _EULER) * quantiles[0] + _EULER * quantiles[1])


def deflated_sharpe(one: Track, trials: Sequence[float]) -> float:
    """Probability that a track's true Sharpe ratio exceeds what the best of all `trials` (Sharpe ratios per period, its
    own included) would show without skill."""
    return probabilistic_sharpe(one, expected_best(trials))
