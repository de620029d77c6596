"""What decisions earn, and the Sharpe ratio less what trying brings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipelines.evaluation.earnings import earnings
from pipelines.evaluation.sharpe import Track, deflated_sharpe, expected_best, probabilistic_sharpe, track
from tests.unit.pipelines.evaluation.made import evidence


def test_a_decision_earns_its_side_less_the_cost() -> None:
    side = np.array([1.0, -1.0, 0.0, 1.0])
    four = {"rows": 4, "blocks": 4, "realised": np.array([0.03, -0.01, 0.5, -0.02]), "cost": np.full(4, 0.002)}
    got = earnings(evidence(**four, side=side))
    assert got.decisions == 3
    assert got.net is not None
    assert got.net.value == pytest.approx((0.03 + 0.01 - 0.02) / 3 - 0.002)
    assert got.break_even_bps == pytest.approx((0.03 + 0.01 - 0.02) / 3 / 2 * 1e4)


def test_without_a_decision_it_is_what_no_costs_would_have_taken() -> None:
    four = {"rows": 4, "blocks": 4, "realised": np.array([0.03, -0.01, 0.5, -0.02])}
    got = earnings(evidence(**four, side_free=np.array([0.0, -1.0, 0.0, 0.0])))
    assert got.decisions == 0
    assert got.net is None
    assert got.break_even_bps == pytest.approx(50)
    assert earnings(evidence(**four, side_free=np.zeros(4))).break_even_bps is None


def test_the_example_of_the_paper() -> None:
    """Bailey and Lopez de Prado 2014, section "a numerical example": 100 trials, variance 1/2 a year, five years of
    250 days, Sharpe ratio 2.5 a year, skewness -3, kurtosis 10."""
    spread = np.random.default_rng(0).normal(size=100)
    spread = (spread - spread.mean()) / spread.std(ddof=1) * np.sqrt(0.5 / 250)
    best = expected_best(spread.tolist())
    assert best == pytest.approx(0.1132, abs=1e-4)
    one = Track(1250, 2.5 / np.sqrt(250), -3, 10)
    assert deflated_sharpe(one, spread.tolist()) == pytest.approx(0.9004, abs=1e-3)


def test_one_trial_is_not_deflated_and_more_of_them_are() -> None:
    one = Track(500, 0.1, 0.0, 3.0)
    assert deflated_sharpe(one, [0.1]) == probabilistic_sharpe(one, 0.0)
    few, many = [0.1, -0.05, 0.02], [0.1, -0.05, 0.02] * 30
    assert deflated_sharpe(one, many) < deflated_sharpe(one, few) < deflated_sharpe(one, [0.1])


def test_a_track_has_the_moments_of_its_returns() -> None:
    returns = np.random.default_rng(1).standard_t(5, 300) * 0.01 + 0.001
    got = track(returns.tolist())
    assert got is not None
    assert got.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert got.skewness == pytest.approx(stats.skew(returns))
    assert got.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))
    assert track([0.01]) is None
    assert track([0.01] * 9) is None
