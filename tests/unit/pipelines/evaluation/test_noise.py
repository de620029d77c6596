"""Noise made of bars: as many moves, as large, at the same times, and no way to know where to."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.checks import check_source_bars
from pipelines.evaluation.intervals import share_interval
from pipelines.evaluation.noise import outcomes, shuffled
from tests.modelling import stored, walk_bars

DAY = 86_400_000_000
BARS = stored(walk_bars(3, 600)).with_columns(bid_close=pl.col("close") * 0.999, ask_close=pl.col("close") * 1.001)
KINDS = pl.DataFrame({"market_id": [f"walk:M{n}" for n in range(3)], "kind": ["spot"] * 3})
CLOSE = pl.col("close").log().diff().over("market_id")


def closes(bars: pl.DataFrame) -> np.ndarray:
    """Logarithmic moves from close to close, a row per market."""
    table = bars.sort("market_id", "start").with_columns(move=CLOSE).drop_nulls("move")
    return table.get_column("move").to_numpy().reshape(3, -1)


@given(st.integers(0, 2**31))
def test_the_moves_stay_and_their_direction_goes(seed: int) -> None:
    noise = shuffled(BARS, KINDS, 5 * DAY, seed)
    assert noise.select("market_id", "start", "end").equals(
        BARS.sort("market_id", "start").select("market_id", "start", "end")
    )
    check_source_bars(noise, "noise")
    before, after = closes(BARS), closes(noise)
    for one, other in zip(before, after, strict=True):  # one move may go with the first bar, which has none before it
        lost = np.setdiff1d(np.abs(one).round(9), np.abs(other).round(9))
        assert len(lost) <= 1
    assert noise.equals(shuffled(BARS, KINDS, 5 * DAY, seed))


def test_momentum_is_gone_and_markets_still_move_together() -> None:
    common = BARS.filter(pl.col("market_id") == "walk:M0")
    bars = pl.concat([common.with_columns(market_id=pl.lit(f"walk:M{n}")) for n in range(3)])
    before = closes(bars)[0]
    assert np.corrcoef(before[1:], before[:-1])[0, 1] > 0.2
    found = []
    for seed in range(20):
        moves = closes(shuffled(bars, KINDS, 5 * DAY, seed))
        assert np.allclose(moves[0], moves[1])
        found.append(np.corrcoef(moves[0][1:], moves[0][:-1])[0, 1])
    assert abs(np.mean(found)) < 3 / np.sqrt(20 * 600)


def test_binary_prices_stay_within_their_payoff_and_lead_nowhere() -> None:
    close = 1 / (1 + np.exp(-np.cumsum(np.random.default_rng(1).normal(0.02, 0.3, 1800).reshape(3, -1), axis=1)))
    bars = BARS.sort("market_id", "start").with_columns(close=pl.Series(close.ravel()), bid_close=None, ask_close=None)
    kinds = KINDS.with_columns(kind=pl.lit("binary"))
    ends = []
    for seed in range(200):
        noise = shuffled(bars, kinds, 5 * DAY, seed)
        assert noise.select(pl.col("open", "high", "low", "close").is_between(0, 1).all()).row(0) == (True,) * 4
        ends.append(noise.filter(pl.col("market_id") == "walk:M0").item(-1, "close"))
    assert abs(np.mean(ends) - close[0, 0]) < 4 * np.std(ends) / np.sqrt(len(ends)) + 0.01


def test_outcomes_come_as_often_as_the_last_price_says() -> None:
    names = [f"m{n}" for n in range(4000)]
    markets = pl.DataFrame(
        {"market_id": names, "kind": ["binary"] * 3999 + ["spot"], "resolution": [1.0] * 3998 + [None] * 2}
    )
    bars = pl.DataFrame({"market_id": names, "end": [1] * 4000, "close": [0.3] * 4000})
    paid = outcomes(bars, markets, 1).get_column("resolution")
    assert paid.head(3998).mean() == pytest.approx(0.3, abs=0.03)
    assert paid.tail(2).null_count() == 2


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 20, 0.0, 0.161), (1, 20, 0.009, 0.236), (20, 20, 0.839, 1)]
)
def test_the_interval_of_a_share(hits: int, trials: int, low: float, high: float) -> None:
    found = share_interval(hits, trials)
    assert (found.value, found.low, found.high) == pytest.approx((hits / trials, low, high), abs=5e-4)
