"""Fits on many cores: the same model comes out, by the hash of its content, on real labels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pipelines.modelling import learner
from pipelines.modelling.learner import Calibration, FittedModel, Recipe, fit
from pipelines.modelling.rows import UNKNOWN, rows_of
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
        monkeypatch.setattr(learner, "_threads", lambda _, threads=threads: {"blas": 1, "openmp": threads})
        estimator = fit(Recipe(kind, 7, 20, 0.1, 7), rows.matrix[known], rows.label[known])
        hashes.add(FittedModel(estimator, Calibration(1.0, 0.5), rows.features).content_hash())
    assert len(hashes) == 1
