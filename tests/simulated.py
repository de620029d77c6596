"""Simulated markets whose truth is known, judged as real ones are: nothing to find, or a little momentum."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipelines.evaluation.evidence import Evidence
from pipelines.evaluation.judging import evidence_of
from pipelines.modelling.folds import Fold
from pipelines.modelling.learner import Kind, Recipe
from pipelines.modelling.rows import rows_of
from pipelines.modelling.walk import Walk, joined
from tests.modelling import with_facts

START = datetime(2020, 1, 1, tzinfo=UTC)
BAR = timedelta(hours=4)
MARKETS = 8
FOLDS = 4
COST = 0.002


def simulated_bars(seed: int, bars: int, *, correlation: float, momentum: float = 0.0) -> pl.DataFrame:
    """Bars (market_id, start, end, open, close) of markets whose returns share `correlation`, each an AR(1) process
    with coefficient `momentum`. A bar opens where the one before closed."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (bars, MARKETS)) * (1 - correlation) ** 0.5
    noise += rng.normal(0, 1, (bars, 1)) * correlation**0.5
    moves = noise * 0.01
    for number in range(1, bars):
        moves[number] += momentum * moves[number - 1]
    close = 100 * np.exp(np.cumsum(moves, axis=0))
    opened = np.vstack([np.full((1, MARKETS), 100.0), close[:-1]])
    start = pl.datetime_range(START, START + (bars - 1) * BAR, BAR, eager=True).cast(pl.Datetime("us", "UTC"))
    frames = [
        pl.DataFrame({"market_id": [f"M{number}"] * bars, "start": start}).with_columns(
            end=pl.col("start") + BAR, open=pl.Series(opened[:, number]), close=pl.Series(close[:, number])
        )
        for number in range(MARKETS)
    ]
    return pl.concat(frames)


def plain_features(bars: pl.DataFrame) -> pl.DataFrame:
    """Returns, volatility and a moving average of each bar, none of which looks ahead."""
    close, market = pl.col("close"), "market_id"
    change = (close / close.shift(1).over(market)).log()
    return (
        bars.with_columns(change=change)
        .select(
            market,
            ts="end",
            log_return_1="change",
            log_return_5=(close / close.shift(5).over(market)).log(),
            log_return_20=(close / close.shift(20).over(market)).log(),
            volatility_short=pl.col("change").rolling_std(20).over(market),
            momentum=(close.rolling_mean(5) / close.rolling_mean(20)).over(market) - 1,
        )
        .with_columns(pl.exclude(market, "ts").cast(pl.Float32))
    )


def judged(bars: pl.DataFrame, *, horizon_bars: int, kind: Kind = "averaged") -> Evidence:
    """Out-of-fold evidence of a model fitted on `bars`, the newer two thirds predicted in FOLDS folds."""
    markets = with_facts(bars.select("market_id").unique().with_columns(kind=pl.lit("spot")), round_trip=COST)
    rows = rows_of(
        bars,
        plain_features(bars),
        markets,
        horizon_bars=horizon_bars,
        is_derived=kind == "averaged",
    )
    last = bars.get_column("end").max()
    assert isinstance(last, datetime)
    first = START + (last - START) / 3
    span = (last - first) / FOLDS
    folds = [Fold(first + number * span, first + (number + 1) * span) for number in range(FOLDS)]
    sample = joined([one.rows for one in Walk(Recipe(kind, 7, 100, 0.03, 7), horizon_bars).forward(rows, folds)])
    return evidence_of(rows, sample, horizon_bars)


def null_set(seed: int) -> Evidence:
    """8 markets with correlation 0.5 of 760 bars, horizon 6, in which there is nothing to find."""
    return judged(simulated_bars(seed, 760, correlation=0.5), horizon_bars=6)


def momentum_set(seed: int, bars: int = 6250) -> Evidence:
    """50 000 rows of 8 independent markets, AR(1) with 0.05 and a horizon of one bar: an information coefficient of
    0.05."""
    return judged(simulated_bars(seed, bars, correlation=0.0, momentum=0.05), horizon_bars=1)
