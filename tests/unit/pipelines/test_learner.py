"""Fitting, calibrating and hashing models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.errors import PipelineError
from pipelines.learner import CALIBRATION_ROWS, Calibration, FittedModel, Recipe, calibrate, fit, predict_raw

RECIPE = Recipe("hist_gradient_boosting", seed=7, max_iter=20, learning_rate=0.1, max_leaf_nodes=8)
KINDS = ["hist_gradient_boosting", "logistic"]


def rows(count: int = 600) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(count, 4)).astype(np.float32)
    labels = (matrix[:, 0] + rng.normal(size=count) > 0).astype(np.int8)
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    return matrix, labels


def fitted(kind: Any = "hist_gradient_boosting", **changes: Any) -> FittedModel:
    matrix, labels = rows()
    return FittedModel(fit(replace(RECIPE, kind=kind, **changes), matrix, labels), Calibration(), ("a", "b", "c", "d"))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_models_have_equal_hashes_and_others_do_not(kind: str) -> None:
    model = fitted(kind)
    assert model.content_hash() == fitted(kind).content_hash()
    assert model.content_hash() == FittedModel.from_bytes(model.to_bytes()).content_hash()
    matrix, labels = rows()
    labels[0] = 1 - labels[0]
    other = FittedModel(fit(replace(RECIPE, kind=kind), matrix, labels), Calibration(), model.features)  # type: ignore[arg-type]  # a plain text here
    assert other.content_hash() != model.content_hash()
    assert replace(model, calibration=Calibration(1.1, 0.0)).content_hash() != model.content_hash()
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


def test_calibration_repairs_overconfidence() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0.3, 0.7, 4000)
    labels = (rng.random(4000) < truth).astype(np.int8)
    raw = 1 / (1 + np.exp(-3 * np.log(truth / (1 - truth))))  # three times too sure
    calibration = calibrate(raw, labels)
    assert calibration.slope == pytest.approx(1 / 3, abs=0.08)
    assert np.abs(calibration.apply(raw) - truth).mean() < 0.03


def test_calibration_never_turns_the_order_round() -> None:
    rng = np.random.default_rng(4)
    raw = rng.uniform(0.1, 0.9, 2000)
    labels = (rng.random(2000) > raw).astype(np.int8)
    calibration = calibrate(raw, labels)
    assert calibration.slope == 0.0
    assert calibration.apply(raw) == pytest.approx(np.full(2000, labels.mean()))


def test_too_few_rows_are_not_calibrated_on() -> None:
    raw, labels = np.full(CALIBRATION_ROWS - 1, 0.9), np.zeros(CALIBRATION_ROWS - 1, dtype=np.int8)
    labels[0] = 1
    assert calibrate(raw, labels) == Calibration()


def test_lightgbm_is_named_where_it_is_missing() -> None:
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        with pytest.raises(PipelineError, match="LightGBM is not installed") as caught:
            fitted("lightgbm")
        assert "tidemill[lightgbm]" in caught.value.mend
    else:
        assert fitted("lightgbm").content_hash() == fitted("lightgbm").content_hash()


def test_raw_predictions_are_probabilities() -> None:
    matrix, _ = rows()
    raw = predict_raw(fitted().estimator, matrix)
    assert raw.min() >= 0
    assert raw.max() <= 1
