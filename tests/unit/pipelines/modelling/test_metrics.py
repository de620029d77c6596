"""Metrics against independent formulas: scikit-learn, pandas, and arithmetic by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.modelling.metrics import (
    auc,
    brier,
    calibration_bins,
    equity_metrics,
    feature_bins,
    forecast_metrics,
    log_loss,
    population_stability_index,
)
from tests.lazy import Lazy

pd, reference = Lazy("pandas"), Lazy("sklearn.metrics")

DAY = 86_400.0
forecasts = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@given(forecasts)
def test_scores_agree_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    probability = np.array([p / 20 for p, _ in rows])
    label = np.array([float(y) for _, y in rows])
    area = auc(probability, label)
    assert area is not None
    assert math.isclose(area, reference.roc_auc_score(label, probability), abs_tol=1e-12)
    assert math.isclose(brier(probability, label), reference.brier_score_loss(label, probability), abs_tol=1e-12)
    inner = np.clip(probability, 0.01, 0.99)
    assert math.isclose(log_loss(inner, label), reference.log_loss(label, inner), abs_tol=1e-12)


def test_auc_is_not_defined_for_one_class() -> None:
    assert auc(np.array([0.1, 0.9]), np.array([1.0, 1.0])) is None


def test_calibration_bins_hold_every_row_once_in_order_of_probability() -> None:
    probability = np.array([0.9, 0.1, 0.5, 0.3, 0.7])
    label = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    bins = calibration_bins(probability, label, bins=2)
    assert [one["rows"] for one in bins] == [3, 2]
    assert bins[0]["predicted"] == pytest.approx(0.3)
    assert bins[0]["observed"] == pytest.approx(1 / 3)
    assert bins[1] == {"predicted": pytest.approx(0.8), "observed": 1.0, "rows": 2}


def test_forecast_metrics_stand_beside_the_base_rate() -> None:
    label = np.array([1.0, 0.0, 0.0, 0.0])
    scores = forecast_metrics(np.array([0.9, 0.1, 0.1, 0.1]), label, np.full(4, 0.25))
    assert scores["brier"] == pytest.approx(0.01)
    assert scores["brier_base_rate"] == pytest.approx(0.1875)
    assert (scores["accuracy"], scores["accuracy_base_rate"]) == (1.0, 0.75)
    assert forecast_metrics(np.empty(0), np.empty(0), np.empty(0)) == {"rows": 0}


def test_stability_index_is_zero_for_the_same_values_and_grows_with_a_shift() -> None:
    values = np.random.default_rng(3).normal(size=2000)
    bins = feature_bins(values)
    assert population_stability_index(values, bins) == pytest.approx(0.0, abs=1e-9)
    near, far = (population_stability_index(values + shift, bins) for shift in (0.1, 1.0))
    assert 0 < near < 0.1 < 0.25 < far


def test_stability_index_by_hand() -> None:
    bins = {"edges": [0.0], "shares": [0.5, 0.5, 0.0]}
    index = population_stability_index(np.array([-1.0, 1.0, 1.0, 1.0]), bins)
    assert index == pytest.approx((0.25 - 0.5) * math.log(0.5) + (0.75 - 0.5) * math.log(1.5))


def test_missing_values_are_a_bin_of_their_own() -> None:
    bins = feature_bins(np.array([1.0, 2.0, np.nan, np.nan]))
    assert bins["shares"][-1] == 0.5
    assert sum(bins["shares"]) == pytest.approx(1.0)
    assert feature_bins(np.array([np.nan]))["edges"] == []


def test_equity_metrics_agree_with_pandas() -> None:
    returns = pd.Series(np.random.default_rng(5).normal(0.001, 0.01, 1000))
    equity = pd.concat([pd.Series([1.0]), (1 + returns).cumprod()], ignore_index=True)
    seconds = [DAY * n for n in range(len(equity))]
    got = equity_metrics(seconds, list(equity), list(equity * 0.5), [0.0] * 1001, [0.001] * 1001, [1.0, -1.0, 2.0])
    years = 1000 / 365.25
    per_year = 1000 / years
    assert got["total_return"] == pytest.approx(equity.iloc[-1] - 1)
    assert got["annualised_return"] == pytest.approx(equity.iloc[-1] ** (1 / years) - 1)
    assert got["annualised_volatility"] == pytest.approx(returns.std() * per_year**0.5)
    assert got["sharpe"] == pytest.approx(returns.mean() / returns.std() * per_year**0.5)
    downside = (returns.clip(upper=0) ** 2).mean() ** 0.5
    assert got["sortino"] == pytest.approx(returns.mean() / downside * per_year**0.5)
    assert got["max_drawdown"] == pytest.approx((1 - equity / equity.cummax()).max())
    assert got["exposure"] == pytest.approx(0.5)
    assert got["costs_paid"] == pytest.approx(1.001)
    assert got["hit_rate"] == pytest.approx(2 / 3)


def test_equity_metrics_by_hand() -> None:
    got = equity_metrics([0.0, 1.0, 2.0], [1.0, 2.0, 1.0], [0.0, 2.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.0], [])
    assert got["total_return"] == 0.0
    assert got["max_drawdown"] == 0.5
    assert got["turnover"] == 2.0
    assert got["exposure"] == pytest.approx(1 / 3)
    assert got["hit_rate"] is None
    assert got["annualised_return"] is None  # two seconds are less than a year


def test_what_is_not_defined_is_none() -> None:
    assert equity_metrics([], [], [], [], [], [])["total_return"] is None
    flat = equity_metrics([0.0, DAY], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [])
    assert (flat["sharpe"], flat["sortino"], flat["total_return"]) == (None, None, 0.0)
