"""Scores against independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as reference_log_loss

from pipelines.evaluation.intervals import student_t
from pipelines.evaluation.scores import (
    auc_interval,
    decompose,
    direction_score,
    information_coefficient,
    log_error,
    paired,
    squared_error,
)
from pipelines.modelling.metrics import beyond_base

BLOCKS = np.repeat(np.arange(30), 20)


def forecasts(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.95, len(BLOCKS))
    return p, (rng.uniform(size=len(p)) < p).astype(float)


def test_the_scores_are_those_of_scikit_learn() -> None:
    p, label = forecasts()
    assert squared_error(p, label).mean() == pytest.approx(brier_score_loss(label, p))
    assert log_error(p, label).mean() == pytest.approx(reference_log_loss(label, p))
    area = auc_interval(p, label, BLOCKS)
    assert area is not None
    assert area.value == pytest.approx(roc_auc_score(label, p))
    assert area.low < area.value < area.high


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.8]), st.integers(0, 1)), min_size=1, max_size=80))
def test_the_decomposition_adds_up_and_is_exact_over_equal_forecasts(rows: list[tuple[float, int]]) -> None:
    p, label = np.array([one[0] for one in rows]), np.array([float(one[1]) for one in rows])
    parts = decompose(p, label)
    assert parts is not None
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(squared_error(p, label).mean())
    assert parts.within == pytest.approx(0, abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= -1e-12


@pytest.mark.parametrize("ties", [False, True])
def test_the_interval_of_an_area_is_as_wide_as_a_bootstrap_of_blocks(ties: bool) -> None:
    rng = np.random.default_rng(3)
    blocks = np.repeat(np.arange(60), 25)
    shared = rng.normal(0, 1, 60).repeat(25)  # rows of a block go together
    score = shared + rng.normal(0, 1, len(blocks))
    score = np.round(score) if ties else score
    label = (0.5 * shared + rng.normal(0, 1, len(blocks)) > 0).astype(float)
    got = auc_interval(score, label, blocks)
    assert got is not None
    rows = [np.flatnonzero(blocks == one) for one in range(60)]
    drawn = [np.concatenate([rows[one] for one in rng.integers(0, 60, 60)]) for _ in range(400)]
    spread = np.std([roc_auc_score(label[one], score[one]) for one in drawn])
    assert (got.high - got.low) / 2 / student_t(59) == pytest.approx(spread, rel=0.1)
    assert got.value - got.low == pytest.approx(got.high - got.value)


def test_an_area_stays_within_its_bounds_and_one_block_says_nothing() -> None:
    score, label = np.array([0.1, 0.6, 0.5, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    got = auc_interval(score, label, np.array([0, 1, 1, 0]))
    assert got is not None
    assert (got.value, got.low, got.high) == (0.75, 0.0, 1.0)
    for blocks in (np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 2])):  # all rows, or one class, in one block
        alone = auc_interval(score, label, blocks)
        assert alone is not None
        assert (alone.value, alone.low, alone.high) == (0.75, -math.inf, math.inf)


def test_forecasts_of_folds_are_ranked_beyond_their_base_rates() -> None:
    base = np.repeat([0.3, 0.6], 300)
    assert beyond_base(base, base) == pytest.approx(np.zeros(600))
    beyond = np.tile([0.1, -0.2], 300)
    odds = np.log(base) - np.log1p(-base) + beyond
    assert beyond_base(1 / (1 + np.exp(-odds)), base) == pytest.approx(beyond)
    # Outcomes come in turns: base rates follow them, too late. In one order with these, knowing nothing is worse.
    label = np.concatenate([np.arange(300) % 10 < 6, np.arange(300) % 10 < 3]).astype(float)
    assert roc_auc_score(label, base) < 0.4
    got = auc_interval(beyond_base(base, base), label, BLOCKS)
    assert got is not None
    assert got.value == 0.5


def test_one_class_has_no_area() -> None:
    assert auc_interval(np.linspace(0, 1, 600), np.ones(600), BLOCKS) is None


def reference(x: np.ndarray, y: np.ndarray) -> float:
    return 1 - float(distance.cosine(x, y))


@given(st.lists(st.integers(-(10**6), 10**6).map(float), min_size=3, max_size=40))
def test_the_information_coefficient_is_a_correlation_about_zero(values: list[float]) -> None:
    x = np.array(values)
    y = x[::-1] + np.arange(len(x)) % 3
    got = information_coefficient(x, y, np.arange(len(x)) % 5)
    if not x.any() or not y.any():
        assert got is None
    else:
        assert got is not None
        assert got.value == pytest.approx(reference(x, y), abs=1e-9)
        assert -1 - 1e-12 <= got.value <= 1 + 1e-12


def test_rows_without_a_return_are_left_out() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=600), rng.normal(size=600)
    holes = y.copy()
    holes[::7] = np.nan
    got = information_coefficient(x, holes, BLOCKS)
    known = np.isfinite(holes)
    assert got is not None
    assert got.value == pytest.approx(reference(x[known], y[known]))
    assert information_coefficient(x, np.full(600, np.nan), BLOCKS) is None


def test_the_unit_of_returns_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=600), rng.normal(size=600)
    small, plain = information_coefficient(x * 1e-200, y * 1e-190, BLOCKS), information_coefficient(x, y, BLOCKS)
    assert small is not None
    assert plain is not None
    assert (small.value, small.low) == pytest.approx((plain.value, plain.low))


def test_who_knows_the_volatility_alone_has_no_direction() -> None:
    rng = np.random.default_rng(6)
    volatility = rng.uniform(0.001, 0.02, len(BLOCKS))
    realised = rng.normal(0, 1, len(BLOCKS)) * volatility
    cost = np.full(len(BLOCKS), 0.004)
    label = (realised > cost).astype(float)
    knows = auc_interval(volatility, label, BLOCKS)
    direction = direction_score(volatility, realised, cost, BLOCKS)
    assert knows is not None
    assert direction is not None
    assert knows.low > 0.55
    assert direction.low < 0.5 < direction.high


def test_moves_of_one_sign_have_no_direction() -> None:
    assert direction_score(np.arange(600.0), np.ones(600), np.zeros(600), BLOCKS) is None


def test_a_paired_difference_is_tighter_than_two_scores() -> None:
    p, label = forecasts(7)
    better = squared_error(p, label)
    worse = squared_error(np.clip(p + 0.3, 0, 1), label)
    got = paired(better, worse, BLOCKS)
    assert got is not None
    assert got.high < 0
    assert paired(better, np.full(len(p), np.nan), BLOCKS) is None
