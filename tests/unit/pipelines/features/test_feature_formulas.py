"""Each feature against an independent formula, a window at a time in plain numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipelines.components import features as room
from pipelines.feature import features_in
from pipelines.features.bars import look_at
from pipelines.features.windows import counted, values
from tests.ticks import source_bars, universe, walk

START = datetime(2020, 1, 3, tzinfo=UTC)
END = START + timedelta(days=5)
Window = dict[str, np.ndarray]  # columns of the bars of one window, oldest first


def log_return(bars: int) -> Callable[[Window], float]:
    return lambda w: math.log(w["close"][-1] / w["close"][-1 - bars])


def volatility(w: Window) -> float:
    return float(np.std(np.diff(np.log(w["close"])), ddof=1))


def zscore(values: np.ndarray) -> float | None:
    return None if values.max() == values.min() else float((values[-1] - values.mean()) / values.std(ddof=1))


def rsi(w: Window) -> float:
    moves = np.diff(w["close"])
    rise, fall = moves[moves > 0].sum(), -moves[moves < 0].sum()
    return 50.0 if rise + fall == 0 else 100 - 100 / (1 + rise / fall) if fall > 0 else 100.0


def log_odds(w: Window) -> float | None:
    if w["kind"][-1] != "binary":
        return None
    price = min(max(w["close"][-1], 0.001), 0.999)
    return math.log(price) - math.log1p(-price)


def days_to_close(w: Window) -> float | None:
    if w["kind"][-1] != "binary":
        return None
    return math.log(1 + max(0.0, (END - w["ts"][-1]).total_seconds() / 86_400))


def clock(w: Window) -> float:
    ts = w["ts"][-1]
    return 2 * math.pi * (ts.hour * 3600 + ts.minute * 60 + ts.second) / 86_400


def week(w: Window) -> float:
    return 2 * math.pi * w["bar_start"][-1].weekday() / 7


FORMULAS: dict[str, tuple[int, Callable[[Window], float | None]]] = {
    **{f"log_return_{n}": (n + 1, log_return(n)) for n in (1, 2, 5, 10, 20, 60)},
    "volatility_short": (21, volatility),
    "volatility_long": (61, volatility),
    "range_volatility": (
        20,
        lambda w: math.sqrt(np.mean(np.log(w["high"] / w["low"]) ** 2) / (4 * math.log(2))),
    ),
    "rsi": (15, rsi),
    "price_zscore_short": (20, lambda w: zscore(w["close"])),
    "price_zscore_long": (60, lambda w: zscore(w["close"])),
    "volume_zscore": (20, lambda w: zscore(np.log1p(w["volume"]))),
    "bar_range": (1, lambda w: (w["high"][-1] - w["low"][-1]) / w["close"][-1]),
    "momentum": (60, lambda w: w["close"][-20:].mean() / w["close"].mean() - 1),
    "relative_spread": (1, lambda w: 2 * (w["ask"][-1] - w["bid"][-1]) / (w["ask"][-1] + w["bid"][-1])),
    "high_distance": (20, lambda w: w["close"][-1] / w["high"].max() - 1),
    "low_distance": (20, lambda w: w["close"][-1] / w["low"].min() - 1),
    "up_share": (11, lambda w: float(np.mean(np.diff(w["close"]) > 0))),
    "log_odds": (1, log_odds),
    "log_days_to_close": (1, days_to_close),
    "hour_sin": (1, lambda w: math.sin(clock(w))),
    "hour_cos": (1, lambda w: math.cos(clock(w))),
    "weekday_sin": (1, lambda w: math.sin(week(w))),
    "weekday_cos": (1, lambda w: math.cos(week(w))),
}


@pytest.fixture(scope="module")
def computed() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bars and features of a spot market with small prices, one with gaps and one binary."""
    gaps = walk("gaps", bars=700, seconds=900, start=START, seed=2).filter(
        pl.Series(np.random.default_rng(5).random(700) < 0.4)
    )
    small = walk("small", bars=300, seconds=900, start=START, seed=1).with_columns(
        pl.col("open", "high", "low", "close") * 1e-7
    )
    odds = walk("odds", bars=300, seconds=900, start=START, seed=3).with_columns(
        (pl.col("open", "high", "low", "close") / 100).clip(1e-5, 1.0)
    )
    sources = pl.concat([source_bars(one, 900) for one in (gaps, odds, small)])
    markets = universe(
        gaps={"interval_seconds": 900},
        odds={"interval_seconds": 900, "kind": "binary", "end_at": END},
        small={"interval_seconds": 900},
    )
    bars = look_at(sources).with_columns(bid=pl.col("close") * 0.999, ask=pl.col("close") * 1.002)
    bars = bars.with_columns(spread=2 * (pl.col("ask") - pl.col("bid")) / (pl.col("ask") + pl.col("bid")))
    features = features_in(vars(room))
    rows = values(counted(bars, bars.clear(), markets, features, START, 1.5), features, 1.5)
    return bars.join(markets.select("market_id", "kind"), on="market_id", maintain_order="left"), rows


def test_every_feature_has_its_formula_here_and_spans_what_it_says() -> None:
    assert {one.name: one.bars for one in features_in(vars(room))} == {
        name: bars for name, (bars, _) in FORMULAS.items()
    }
    assert len(FORMULAS) >= 15


@pytest.mark.parametrize("name", FORMULAS)
def test_feature_is_its_formula(name: str, computed: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    span, formula = FORMULAS[name]
    all_bars, rows = computed
    seen = {"null": 0, "value": 0}
    for (market,), bars in all_bars.group_by("market_id", maintain_order=True):
        columns = {column: np.array(bars[column].to_list()) for column in bars.columns}
        values = rows.filter(pl.col("market_id") == market)[name].to_list()
        for row, value in enumerate(values):
            is_near = row + 1 >= span and columns["ts"][row] - columns["ts"][row + 1 - span] <= timedelta(
                seconds=900 * span * 1.5
            )
            window = {column: array[max(0, row + 1 - span) : row + 1] for column, array in columns.items()}
            expected = formula(window) if is_near else None
            seen["null" if expected is None else "value"] += 1
            if expected is None:
                assert value is None, (market, row)
            else:
                assert value == pytest.approx(expected, rel=3e-6, abs=1e-6), (market, row)
    assert seen["value"] > 250
    assert span == 1 or seen["null"] > span


def test_a_price_that_stands_still_makes_no_noise() -> None:
    """After a jump, rounding left in rolling sums must not be taken for movement."""
    prices = [1e-5 * (1 + 0.37 * n) for n in range(40)] + [2.3e-5] * 60
    bars = pl.DataFrame(
        {"market_id": "m", "ts": [START + timedelta(seconds=300 * n) for n in range(100)]}
    ).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC")),
        *(pl.Series(prices).alias(name) for name in ("open", "high", "low", "close")),
        volume=pl.lit(0.0),
    )
    markets = universe(m={"interval_seconds": 300})
    made = look_at(source_bars(bars, 300))
    features = features_in(vars(room))
    last = values(counted(made, made.clear(), markets, features, START, 5.0), features, 5.0).row(-1, named=True)
    assert last["rsi"] == 50.0
    assert last["price_zscore_short"] is None
    assert last["volume_zscore"] is None
    assert last["volatility_short"] == pytest.approx(0, abs=1e-9)
    assert last["range_volatility"] == pytest.approx(0, abs=1e-9)


def test_rounding_alone_is_no_move() -> None:
    """0.43 and the number next to it: divided by its own rounding, the z-score would be anything."""
    close = [0.43] * 10 + [0.43000000000000005] + [0.43] * 14
    frame = pl.DataFrame({"close": close})
    assert frame.select(room._zscore(pl.col("close"), 20)).to_series().drop_nulls().is_empty()
    moved = frame.with_columns(pl.when(pl.int_range(pl.len()) == 12).then(0.4301).otherwise("close").alias("close"))
    assert not moved.select(room._zscore(pl.col("close"), 20)).to_series().drop_nulls().is_empty()
