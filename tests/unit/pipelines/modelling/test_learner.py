"""Fitting, calibrating and hashing models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.errors import PipelineError
from pipelines.modelling.learner import (
    CALIBRATION_ROWS,
    LEAST_SLOPE,
    UNPROVEN_SLOPE,
    Calibration,
    FittedModel,
    Recipe,
    fit,
    fit_slope,
    predict_raw,
)

RECIPE = Recipe("hgb", seed=7, max_iter=20, learning_rate=0.1, max_leaf_nodes=8)
KINDS = ["averaged", "hgb", "logistic"]


def rows(count: int = 600) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(count, 4)).astype(np.float32)
    labels = (matrix[:, 0] + rng.normal(size=count) > 0).astype(np.int8)
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    return matrix, labels


def fitted(kind: Any = "hgb", **changes: Any) -> FittedModel:
    matrix, labels = rows()
    return FittedModel(
        fit(replace(RECIPE, kind=kind, **changes), matrix, labels), Calibration(1.0, 0.5), ("a", "b", "c", "d")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equal_models_have_equal_hashes_and_others_do_not(kind: str) -> None:
    model = fitted(kind)
    assert model.content_hash() == fitted(kind).content_hash()
    assert model.content_hash() == FittedModel.from_bytes(model.to_bytes()).content_hash()
    matrix, labels = rows()
    labels[0] = 1 - labels[0]
    other = FittedModel(fit(replace(RECIPE, kind=kind), matrix, labels), Calibration(1.0, 0.5), model.features)  # type: ignore[arg-type]  # a plain text here
    assert other.content_hash() != model.content_hash()
    assert replace(model, calibration=Calibration(1.1, 0.5)).content_hash() != model.content_hash()
    assert replace(model, features=("a", "b", "d", "c")).content_hash() != model.content_hash()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_model_predicts_the_same(kind: str) -> None:
    model, (matrix, labels) = fitted(kind), rows()
    predicted = model.predict(matrix)
    assert np.array_equal(FittedModel.from_bytes(model.to_bytes()).predict(matrix), predicted)
    assert ((predicted > 0.5) == labels).mean() > 0.65
    assert len(model.predict(matrix[:0])) == 0


def test_one_tree_more_is_another_model() -> None:
    assert fitted().content_hash() != fitted(max_iter=21).content_hash()


def test_a_full_slope_leaves_a_probability_and_none_says_the_base_rate() -> None:
    raw = np.array([0.1, 0.4, 0.9])
    assert Calibration(1.0, 0.3).apply(raw) == pytest.approx(raw)
    assert Calibration(0.0, 0.3).apply(raw) == pytest.approx([0.3, 0.3, 0.3])


def test_the_slope_repairs_overconfidence() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0.3, 0.7, 4000)
    labels = (rng.random(4000) < truth).astype(np.int8)
    raw = 1 / (1 + np.exp(-3 * np.log(truth / (1 - truth))))  # three times too sure
    slope = fit_slope(raw, np.full(4000, 0.5), labels)
    assert slope == pytest.approx(1 / 3, abs=0.05)
    assert np.abs(Calibration(slope, 0.5).apply(raw) - truth).mean() < 0.02


def test_the_slope_is_that_of_greatest_likelihood() -> None:
    rng = np.random.default_rng(8)
    raw, base = rng.uniform(0.2, 0.8, 1000), rng.uniform(0.4, 0.6, 1000)
    labels = (rng.random(1000) < 0.5 + 0.6 * (raw - 0.5)).astype(np.int8)
    best = fit_slope(raw, base, labels)

    def loss(slope: float) -> float:
        logits = [np.log(p / (1 - p)) for p in (raw, base)]
        p = 1 / (1 + np.exp(-(logits[1] + slope * (logits[0] - logits[1]))))
        return float(-(labels * np.log(p) + (1 - labels) * np.log(1 - p)).sum())

    assert all(loss(best) < loss(best + step) for step in (-0.01, 0.01))


def test_the_slope_never_turns_the_order_round() -> None:
    rng = np.random.default_rng(4)
    raw = rng.uniform(0.1, 0.9, 2000)
    labels = (rng.random(2000) > raw).astype(np.int8)
    assert fit_slope(raw, np.full(2000, 0.5), labels) == LEAST_SLOPE


def test_without_evidence_the_model_is_half_trusted() -> None:
    few = CALIBRATION_ROWS - 1
    labels = np.arange(few, dtype=np.int8) % 2
    assert fit_slope(np.full(few, 0.9), np.full(few, 0.5), labels) == UNPROVEN_SLOPE
    labels = np.arange(CALIBRATION_ROWS) % 2
    same = np.full(CALIBRATION_ROWS, 0.5)
    assert fit_slope(same, same, labels.astype(np.int8)) == UNPROVEN_SLOPE


def test_a_feature_that_is_missing_everywhere_does_no_harm() -> None:
    matrix, labels = rows()
    matrix[:, 2] = np.nan
    assert len(predict_raw(fit(RECIPE, matrix, labels), matrix)) == len(labels)


def test_lightgbm_is_named_where_it_is_missing() -> None:
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        with pytest.raises(PipelineError, match="LightGBM is not installed") as caught:
            fitted("lightgbm")
        assert "tidemill[lightgbm]" in caught.value.fix
    else:
        assert fitted("lightgbm").content_hash() == fitted("lightgbm").content_hash()


def test_raw_predictions_are_probabilities() -> None:
    matrix, _ = rows()
    raw = predict_raw(fitted().estimator, matrix)
    assert raw.min() >= 0
    assert raw.max() <= 1
