"""Features made of features: what they are, and that nothing but the rows of an instant counts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pipelines.modelling.derived import completed, derive


def rows(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "ts": np.repeat(np.arange(5), 3),
            "log_return_5": rng.normal(0, 0.02, 15).astype(np.float32),
            "volatility_long": rng.uniform(0.01, 0.02, 15).astype(np.float32),
            "rsi": rng.uniform(0, 100, 15).astype(np.float32),
        }
    )


def test_returns_are_scaled_and_compared_with_their_market() -> None:
    got = derive(rows())
    assert got.columns == [
        *("log_return_5", "volatility_long", "rsi"),
        *("log_return_5_scaled", "log_return_5_market", "log_return_5_relative"),
    ]
    first = rows()[:3]
    scaled = (first["log_return_5"] / first["volatility_long"] / 5**0.5).to_numpy()
    assert got["log_return_5_scaled"][:3].to_numpy() == pytest.approx(scaled, rel=1e-5)
    assert got["log_return_5_market"][:3].to_list() == pytest.approx([scaled.mean()] * 3, rel=1e-5)
    assert got["log_return_5_relative"][:3].to_numpy() == pytest.approx(scaled - scaled.mean(), abs=1e-5)


def test_a_market_that_does_not_move_has_no_scaled_return() -> None:
    flat = rows().with_columns(volatility_long=pl.lit(0.0))
    assert derive(flat)["log_return_5_scaled"].null_count() == 15


def test_rows_of_one_instant_alone_give_what_all_rows_give() -> None:
    whole = derive(rows())
    for first in range(0, 15, 3):
        part = derive(rows()[first : first + 3])
        assert part.equals(whole[first : first + 3])


def test_a_model_finds_the_features_it_was_fitted_on() -> None:
    wanted = derive(rows()).columns
    assert completed(rows(), wanted).select(wanted).equals(derive(rows()))
    assert completed(rows(), ["rsi"]).columns == rows().columns


def test_without_returns_nothing_is_added() -> None:
    assert derive(rows().select("ts", "rsi")).columns == ["rsi"]
