"""Fits on many cores and folds side by side: the same comes out, on real labels."""

from __future__ import annotations

import warnings
from datetime import timedelta
from functools import partial

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_info

from pipelines.modelling import learner, walk
from pipelines.modelling.baselines import NAMES
from pipelines.modelling.folds import Fold, plan_folds
from pipelines.modelling.learner import Calibration, FittedModel, Recipe, fit
from pipelines.modelling.rows import UNKNOWN, rows_of
from pipelines.modelling.walk import Walk, instant, joined
from pipelines.parallel import pinned
from tests.modelling import crypto_bars, features_of, stored, with_facts
from tests.paths import needs_shared_data


@needs_shared_data
@pytest.mark.parametrize("kind", ["hgb", "averaged"])
def test_any_number_of_threads_gives_the_same_model(kind: learner.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = crypto_bars(("ADA_BTC", "ETH_BTC"))
    markets = with_facts(bars.select("market_id").unique().with_columns(kind=pl.lit("spot")), round_trip=0.001)
    rows = rows_of(stored(bars), features_of(bars), markets, horizon_bars=5)
    known = np.flatnonzero(rows.label != UNKNOWN)
    hashes = set()
    for threads in (1, 2, 3):
        monkeypatch.setattr(learner, "_PARALLEL_ROWS", 0)
        estimator = fit(Recipe(kind, 7, 20, 0.1, 7), rows.matrix[known], rows.label[known], threads)
        hashes.add(FittedModel(estimator, Calibration(1.0, 0.5), rows.features).content_hash())
    assert len(hashes) == 1


@needs_shared_data
def test_folds_fitted_side_by_side_give_the_same_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = crypto_bars(("ADA_BTC", "ETH_BTC"))
    markets = with_facts(bars.select("market_id").unique().with_columns(kind=pl.lit("spot")), round_trip=0.001)
    rows = rows_of(stored(bars), features_of(bars), markets, horizon_bars=5, is_derived=True)
    first, last = instant(rows.ts[0]), instant(rows.ts[-1])
    folds = plan_folds(first, last, timedelta(days=4))
    assert len(folds) >= 2
    made, seen = [], []
    for number in (1, 2, 4):
        monkeypatch.setattr(walk, "cores", lambda number=number: number)
        heard: list[int] = []
        walking = Walk(Recipe("averaged", 7, 20, 0.1, 7), 5, on_fold=partial(_hear, heard))
        made.append(joined([one.rows for one in walking.forward(rows, folds)]))
        seen.append(heard)
    for other in made[1:]:
        for name in ("row", "raw", "probability", "base_rate", "up", "down", "expected", "error"):
            np.testing.assert_array_equal(getattr(made[0], name), getattr(other, name), err_msg=name)
        for name in NAMES:
            np.testing.assert_array_equal(made[0].baselines[name], other.baselines[name], err_msg=name)
    assert seen[0] == seen[1] == seen[2] == list(range(len(seen[0])))


def test_a_pin_ends_with_the_last_who_holds_it() -> None:
    fit_once = np.zeros((10, 10)) @ np.zeros((10, 10))  # linear algebra is loaded
    assert not fit_once.any()
    before = blas_threads()
    assert before
    with pinned():
        with pinned(ignored=UserWarning):
            assert set(blas_threads().values()) == {1}
        assert set(blas_threads().values()) == {1}
        filters = len(warnings.filters)
    assert blas_threads() == before
    assert len(warnings.filters) < filters


def _hear(heard: list[int], done: int, _: Fold) -> None:
    heard.append(done)


def blas_threads() -> dict[str, int]:
    """File of each library of linear algebra -> threads it uses."""
    return {one["filepath"]: one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}
