"""Bars and features of every market, a partition at a time. What each feature is stands here.

Output: partitions `bars/KEY` (the source's own, by reference), `bars/made/KEY` and `features/KEY`, KEY the span. A
feature is a function of bars up to its own; own features come from the modules that `[features] modules` names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.component import Context, component
from pipelines.data.checks import check_bars, check_features, check_source_bars
from pipelines.feature import Bars, feature, features_in, own_features, unique_names
from pipelines.features.bars import TRADES_READ
from pipelines.features.partitions import MADE, OWN, FeatureWork
from pipelines.settings import setting
from pipelines.snapshot import Reads
from pipelines.source import BAR_COLUMNS
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

VOLATILITY_SHORT_BARS = 20
VOLATILITY_LONG_BARS = 60
RANGE_VOLATILITY_BARS = 20
RSI_BARS = 14
ZSCORE_SHORT_BARS = 20
ZSCORE_LONG_BARS = 60
VOLUME_ZSCORE_BARS = 20
MOMENTUM_FAST_BARS = 20
MOMENTUM_SLOW_BARS = 60
EXTREME_BARS = 20
UP_SHARE_BARS = 10
ROUNDING = 1e-9  # moves of less than this share of the price are none
LOG_ODDS_MARGIN = 0.001  # prices nearer to 0 or 1 count as this far away: one tick of most platforms


@feature(bars=2)
def log_return_1(bars: Bars) -> pl.Expr:
    """ln(close[t] / close[t-1])."""
    return bars.log_return


@feature(bars=3)
def log_return_2(bars: Bars) -> pl.Expr:
    """ln(close[t] / close[t-2])."""
    return (bars.close / bars.close.shift(2)).log()


@feature(bars=6)
def log_return_5(bars: Bars) -> pl.Expr:
    """ln(close[t] / close[t-5])."""
    return (bars.close / bars.close.shift(5)).log()


@feature(bars=11)
def log_return_10(bars: Bars) -> pl.Expr:
    """ln(close[t] / close[t-10])."""
    return (bars.close / bars.close.shift(10)).log()


@feature(bars=21)
def log_return_20(bars: Bars) -> pl.Expr:
    """ln(close[t] / close[t-20])."""
    return (bars.close / bars.close.shift(20)).log()


@feature(bars=61)
def log_return_60(bars: Bars) -> pl.Expr:
    """ln(close[t] / close[t-60])."""
    return (bars.close / bars.close.shift(60)).log()


@feature(bars=VOLATILITY_SHORT_BARS + 1)
def volatility_short(bars: Bars) -> pl.Expr:
    """Realised volatility per bar: sample standard deviation of the last 20 log returns (not annualised)."""
    return bars.log_return.rolling_std(VOLATILITY_SHORT_BARS)


@feature(bars=VOLATILITY_LONG_BARS + 1)
def volatility_long(bars: Bars) -> pl.Expr:
    """Realised volatility per bar: sample standard deviation of the last 60 log returns (not annualised)."""
    return bars.log_return.rolling_std(VOLATILITY_LONG_BARS)


@feature(bars=RANGE_VOLATILITY_BARS)
def range_volatility(bars: Bars) -> pl.Expr:
    """sqrt(mean(ln(high / low)²) / (4 ln 2)): the range estimator of Parkinson, J. Business 53 (1980) 61."""
    squares = (bars.high / bars.low).log() ** 2
    return (squares.rolling_mean(RANGE_VOLATILITY_BARS).clip(0) / (4 * math.log(2))).sqrt()


@feature(bars=RSI_BARS + 1)
def rsi(bars: Bars) -> pl.Expr:
    """Relative strength index 0..100: 100 × mean rise / (mean rise + mean fall) of the last 14 moves; 50 without moves.

    Wilder (New Concepts, 1978) smooths exponentially, which never forgets; simple means look back 14 bars (Cutler).
    """
    move = bars.close - bars.close.shift(1)
    rise, fall = move.clip(0).rolling_mean(RSI_BARS), (-move).clip(0).rolling_mean(RSI_BARS)
    flat = move.abs().rolling_max(RSI_BARS) == 0
    return _choose(flat, 50.0, (100 * rise / (rise + fall)).clip(0, 100))


@feature(bars=ZSCORE_SHORT_BARS)
def price_zscore_short(bars: Bars) -> pl.Expr:
    """(close - mean) / standard deviation of the last 20 closes; null where they are all equal."""
    return _zscore(bars.close, ZSCORE_SHORT_BARS)


@feature(bars=ZSCORE_LONG_BARS)
def price_zscore_long(bars: Bars) -> pl.Expr:
    """(close - mean) / standard deviation of the last 60 closes; null where they are all equal."""
    return _zscore(bars.close, ZSCORE_LONG_BARS)


@feature(bars=VOLUME_ZSCORE_BARS)
def volume_zscore(bars: Bars) -> pl.Expr:
    """Z-score of ln(1 + volume) over the last 20 bars; null where all are equal or the source has no sizes."""
    return _zscore(bars.volume.log1p(), VOLUME_ZSCORE_BARS)


@feature(bars=1)
def bar_range(bars: Bars) -> pl.Expr:
    """(high - low) / close."""
    return (bars.high - bars.low) / bars.close


@feature(bars=MOMENTUM_SLOW_BARS)
def momentum(bars: Bars) -> pl.Expr:
    """Mean close of the last 20 bars over that of the last 60, minus 1: a moving average crossover."""
    fast, slow = bars.close.rolling_mean(MOMENTUM_FAST_BARS), bars.close.rolling_mean(MOMENTUM_SLOW_BARS)
    return fast / slow - 1


@feature(bars=1)
def relative_spread(bars: Bars) -> pl.Expr:
    """(ask - bid) / mid of the bar's last quotes; null where there are none."""
    return bars.spread


@feature(bars=EXTREME_BARS)
def high_distance(bars: Bars) -> pl.Expr:
    """close / highest high of the last 20 bars - 1, at most 0."""
    return bars.close / bars.high.rolling_max(EXTREME_BARS) - 1


@feature(bars=EXTREME_BARS)
def low_distance(bars: Bars) -> pl.Expr:
    """close / lowest low of the last 20 bars - 1, at least 0."""
    return bars.close / bars.low.rolling_min(EXTREME_BARS) - 1


@feature(bars=UP_SHARE_BARS + 1)
def up_share(bars: Bars) -> pl.Expr:
    """Share of the last 10 bars that closed above the bar before, 0..1."""
    import polars as pl

    return (bars.log_return > 0).cast(pl.Int32).rolling_sum(UP_SHARE_BARS) / UP_SHARE_BARS


@feature(bars=1)
def log_odds(bars: Bars) -> pl.Expr:
    """ln(p / (1 - p)) of a binary market's price p, kept 0.001 away from 0 and 1; null for other markets."""
    price = bars.close.clip(LOG_ODDS_MARGIN, 1 - LOG_ODDS_MARGIN)
    return _choose(bars.kind == "binary", (price / (1 - price)).log(), None)


@feature(bars=1)
def log_days_to_close(bars: Bars) -> pl.Expr:
    """ln(1 + days until a binary market's end date), 0 after it; null for other markets."""
    days = (bars.end_at - bars.ts).dt.total_microseconds() / 86_400e6
    return _choose(bars.kind == "binary", days.clip(0).log1p(), None)


@feature(bars=1)
def hour_sin(bars: Bars) -> pl.Expr:
    """sin(2π × time of day / 24 h), UTC, of the bar's end."""
    return (_time_of_day(bars) * (2 * math.pi)).sin()


@feature(bars=1)
def hour_cos(bars: Bars) -> pl.Expr:
    """cos(2π × time of day / 24 h), UTC, of the bar's end."""
    return (_time_of_day(bars) * (2 * math.pi)).cos()


@feature(bars=1)
def weekday_sin(bars: Bars) -> pl.Expr:
    """sin(2π × weekday / 7), Monday 0, UTC, of the bar's start: a Friday's daily bar ends on Saturday."""
    return ((bars.bar_start.dt.weekday() - 1) * (2 * math.pi / 7)).sin()


@feature(bars=1)
def weekday_cos(bars: Bars) -> pl.Expr:
    """cos(2π × weekday / 7), Monday 0, UTC, of the bar's start."""
    return ((bars.bar_start.dt.weekday() - 1) * (2 * math.pi / 7)).cos()


def _time_of_day(bars: Bars) -> pl.Expr:
    return bars.ts.dt.epoch("us") % 86_400_000_000 / 86_400e6


def _zscore(value: pl.Expr, bars: int) -> pl.Expr:
    # In a flat window rounding alone would be divided by rounding: averaged prices differ in their last digit.
    moves = value.rolling_max(bars) - value.rolling_min(bars) > ROUNDING * value.abs().rolling_max(bars)
    return _choose(moves, (value - value.rolling_mean(bars)) / value.rolling_std(bars), None)


def _choose(condition: pl.Expr, then: Any, otherwise: Any) -> pl.Expr:
    import polars as pl

    return pl.when(condition).then(then).otherwise(otherwise)


@dataclass(frozen=True)
class Settings:
    """[features]"""

    interval: Literal["auto"] | int = setting(
        "auto",
        "Length of a bar; auto keeps the source's bars and makes bars of 300 s from trades and quotes",
        unit="seconds",
        low=1,
        high=86_400,
    )
    max_reach: float = setting(
        5.0,
        "A window of n bars may reach back n intervals times this (nights, weekends); older bars do not count",
        low=1.0,
        high=100.0,
    )
    modules: tuple[str, ...] = setting((), "Modules or .py files (relative to agent.toml) with own features")

    def check(self) -> Iterable[str]:
        """Faults of several settings together, or beyond bounds."""
        if self.interval != "auto" and 86_400 % self.interval:
            yield f"interval = {self.interval} does not divide a day (86400 s): bars would differ from day to day"


def feature_modules(settings: Settings, base: Path) -> list[str]:
    """Names of the loaded modules whose features count beside the ones here: their code is this component's code."""
    return sorted({one.module for one in own_features(settings.modules, base)})


def _contract(key: str, frame: pl.DataFrame) -> None:
    if key.startswith(MADE):
        check_bars(frame, f"features, partition {key}", free=None)
    elif key.startswith(OWN):
        check_source_bars(frame, f"features, partition {key}", free=None)
    else:
        check_features(frame, f"features, partition {key}", features=frame.columns[2:])


@component(
    upstream={
        "ticks": Reads(tuple(dict.fromkeys((*BAR_COLUMNS, *TRADES_READ)))),
        "markets": Reads(("market_id", "interval", "kind", "end_at", "history")),
    },
    settings=Settings,
    libraries=("polars",),
    extra_modules=feature_modules,
    contract=_contract,
)
def build_features(ctx: Context, settings: Settings) -> None:
    """Bars of each span that changed, then features of each span that a changed bar reaches."""
    own = own_features(settings.modules, ctx.code_base)
    work = FeatureWork(
        ctx,
        features=unique_names([*features_in(globals()), *own]),
        own=own,
        interval_seconds=None if settings.interval == "auto" else settings.interval,
        max_reach=settings.max_reach,
    )
    work.build_bars()
    work.build_features()
    work.write_memo()
