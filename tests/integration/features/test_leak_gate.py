"""The power of the leak test: planted leaks of many kinds are refused, clean features are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.components.features import Settings
from pipelines.errors import ContractViolation
from pipelines.feature import LEAKS
from pipelines.features import leaks
from pipelines.snapshot import Snapshot
from tests.ticks import Bench, source_bars, universe, walk

START = datetime(2024, 1, 1, tzinfo=UTC)

HEAD = """
from __future__ import annotations
import polars as pl
from pipelines.feature import Bars, feature
LATE = pl.datetime({year}, {month}, {day}, time_zone="UTC")
"""
ONE = """
@feature(bars={bars})
def {name}(bars: Bars) -> pl.Expr:
    return {formula}
"""
LATE_IN = 2  # days after START: a leak that begins then leaves the first partitions clean

PLANTED = {
    "next_close": (1, "bars.close.shift(-1)"),
    "six_bars_ahead_behind_a_long_window": (21, "bars.close.shift(-6) / bars.close.rolling_mean(21)"),
    "only_after_a_date": (1, "pl.when(bars.ts > LATE).then(bars.close.shift(-6)).otherwise(bars.close)"),
    "target_itself": (1, "bars.close.shift(-5) / bars.open.shift(-1) - 1"),
    "sign_of_the_target": (1, "(bars.close.shift(-5) > bars.open.shift(-1)).cast(pl.Float32)"),
    "centred_window": (9, "bars.close.rolling_mean(9, center=True)"),
    "whole_mean": (1, "bars.close / bars.close.mean()"),
    "whole_rank": (1, "bars.close.rank()"),
    "last_of_all": (1, "bars.close.last() - bars.close"),
    "reversed_sum": (30, "bars.volume.reverse().cum_sum().reverse()"),
    "backward_fill": (1, "pl.when(bars.close > bars.open).then(bars.close).backward_fill()"),
    "interpolated": (5, "pl.when(bars.close > bars.open).then(bars.close).interpolate()"),
    "time_of_the_next_bar": (1, "(bars.ts.shift(-1) - bars.ts).dt.total_seconds()"),
    "price_when_it_ends": (1, "bars.close.filter(bars.ts == bars.ts.max()).first() + 0 * bars.close"),
    "payout_by_the_last_price": (1, "(bars.close.last() > bars.close.median()).cast(pl.Float32) + 0 * bars.close"),
    "next_market_return": (1, "bars.market_return.shift(-1)"),
    "number_of_bars_left": (1, "bars.close.len() - bars.close.cum_count()"),
    "one_market_only": (1, "pl.when(bars.kind == 'fx').then(bars.close.shift(-2)).otherwise(0.0)"),
    "far_ahead": (1, "bars.close.shift(-120)"),
    "since_the_first_bar": (5, "bars.close.cum_sum()"),
    "longer_than_declared": (5, "bars.close.rolling_mean(40)"),
}


def _clean() -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for n in (2, 5, 13, 60):
        found[f"ret_{n}"] = (n + 1, f"(bars.close / bars.close.shift({n})).log()")
        found[f"mean_{n}"] = (n, f"bars.close / bars.close.rolling_mean({n}) - 1")
        found[f"std_{n}"] = (n + 1, f"bars.log_return.rolling_std({n})")
        found[f"high_{n}"] = (n, f"bars.close / bars.high.rolling_max({n}) - 1")
        found[f"volume_{n}"] = (n, f"bars.volume.log1p().rolling_mean({n})")
        found[f"quantile_{n}"] = (n, f"bars.close.rolling_quantile(0.8, window_size={n}) / bars.close")
        found[f"market_{n}"] = (n + 1, f"bars.market_return.rolling_sum({n})")
        found[f"relative_{n}"] = (n + 1, f"(bars.log_return - bars.market_return).rolling_mean({n})")
    found |= {
        "slow": (200, "bars.close.rolling_mean(200)"),
        "very_slow": (240, "bars.close.rolling_max(240) / bars.close"),
        "smoothed": (60, "bars.close.ewm_mean(span=6)"),
        "hour": (1, "bars.ts.dt.hour().cast(pl.Float32)"),
        "weekday": (1, "bars.bar_start.dt.weekday().cast(pl.Float32)"),
        "month_end": (1, "(bars.ts.dt.month_end() == bars.ts).cast(pl.Float32)"),
        "minutes": (1, "bars.ts.dt.epoch('s') % 3600"),
        "body": (1, "bars.close - bars.open"),
        "range": (1, "(bars.high - bars.low) / bars.close"),
        "fifth_null": (1, "pl.when(bars.ts.dt.epoch('s') // 300 % 5 > 0).then(bars.close)"),
        "null_on_rises": (2, "pl.when(bars.close < bars.close.shift(1)).then(bars.close)"),
        "constant": (1, "0 * bars.close"),
        "gap": (2, "(bars.ts - bars.ts.shift(1)).dt.total_seconds()"),
        "skew": (20, "bars.log_return.rolling_skew(19)"),
        "rising": (11, "(bars.log_return > 0).cast(pl.Int32).rolling_sum(10) / 10"),
        "median": (15, "bars.close.rolling_median(15) / bars.close"),
        "zscore": (20, "(bars.close - bars.close.rolling_mean(20)) / bars.close.rolling_std(20)"),
        "odds": (1, "(bars.close / (1 + bars.close)).log()"),
        "beta": (2, "bars.log_return * bars.market_return"),
    }
    return found


CLEAN = _clean()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, dict[str, Snapshot]]:
    """Two markets of five-minute bars over four days: a partition per day."""
    bench = Bench(tmp_path_factory.mktemp("bench") / "lake")
    ticks = pl.concat([source_bars(walk(name, bars=1150, seconds=300, start=START), 300) for name in ("m", "n")]).sort(
        "market_id", "start"
    )
    markets = universe(m={"interval": "300s"}, n={"interval": "300s", "kind": "fx"})
    return bench, {"ticks": bench.ticks(ticks), "markets": bench.markets(markets)}


def _written(folder: Path, features: dict[str, tuple[int, str]]) -> Settings:
    late = START.replace(day=START.day + LATE_IN)
    text = HEAD.format(year=late.year, month=late.month, day=late.day)
    text += "".join(ONE.format(name=name, bars=bars, formula=formula) for name, (bars, formula) in features.items())
    (folder / "mine.py").write_text(text, encoding="utf-8")
    return Settings(modules=("mine.py",))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_refused(tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]], name: str) -> None:
    bench, inputs = small
    settings = _written(tmp_path, {name: PLANTED[name]})
    with pytest.raises(ContractViolation, match=rf"feature '{name}' (sees the future|depends on more than)"):
        bench.features(inputs, settings, base=tmp_path)


def test_no_clean_feature_is_refused_and_all_count_as_tested(
    tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]]
) -> None:
    assert len(CLEAN) >= 50
    bench, inputs = small
    snapshot = bench.features(inputs, _written(tmp_path, CLEAN), base=tmp_path)
    memo = json.loads(bench.lake.read_bytes(snapshot.by_key[LEAKS]))
    assert memo["not_tested"] == []
    assert set(CLEAN) <= set(memo["tested"])


def test_an_own_feature_that_never_has_a_value_is_not_tested(
    tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]]
) -> None:
    bench, inputs = small
    settings = _written(tmp_path, {"empty": (1, "pl.when(bars.close < 0).then(bars.close)"), "body": CLEAN["body"]})
    snapshot = bench.features(inputs, settings, base=tmp_path)
    assert json.loads(bench.lake.read_bytes(snapshot.by_key[LEAKS]))["not_tested"] == ["empty"]


RARE = {
    "thrice": (1, "pl.when(bars.ts.dt.hour() == 22).then(bars.close)"),
    "at_the_end": (1, "pl.when(bars.ts.dt.hour() == 23).then(bars.close)"),
    "zscore": (5, "(bars.volume - bars.volume.rolling_mean(5)) / bars.volume.rolling_std(5).replace(0.0, None)"),
}


def test_features_that_seldom_have_values_are_tested_between_them(
    tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]]
) -> None:
    bench, inputs = small
    snapshot = bench.features(inputs, _written(tmp_path, RARE), base=tmp_path)
    memo = json.loads(bench.lake.read_bytes(snapshot.by_key[LEAKS]))
    assert memo["not_tested"] == []
    assert set(RARE) <= set(memo["tested"])


@pytest.mark.parametrize("name", ["b07", "b31"])
def test_a_feature_that_one_market_of_many_has_is_tested_there(tmp_path: Path, name: str) -> None:
    bench = Bench(tmp_path / "lake")
    names = [f"b{n:02d}" for n in range(40)]
    prices = ("open", "high", "low", "close")
    ticks = [source_bars(walk(each, bars=250, seconds=300, start=START), 300) for each in names]
    dear = pl.when(pl.col("market_id") == name).then(1000.0).otherwise(1.0)
    ticks = [each.with_columns(pl.col(prices) * dear) for each in ticks]
    inputs = {
        "ticks": bench.ticks(pl.concat(ticks).sort("market_id", "start")),
        "markets": bench.markets(universe(**{each: {"interval": "300s"} for each in names})),
    }
    formula = "pl.when((bars.close > 1000) & (bars.ts.dt.hour() > 18)).then(bars.close)"
    snapshot = bench.features(inputs, _written(tmp_path, {"alone": (1, formula)}), base=tmp_path)
    assert "alone" in json.loads(bench.lake.read_bytes(snapshot.by_key[LEAKS]))["tested"]


def test_a_built_in_feature_with_one_value_is_as_good_as_empty(tmp_path: Path) -> None:
    """Volume that changes at the last bar alone: its z-score has one value, which no cut can test."""
    bench = Bench(tmp_path / "lake")
    bars = source_bars(walk("m", bars=400, seconds=300, start=START), 300)
    last = pl.int_range(pl.len()) == pl.len() - 1
    ticks = bars.with_columns(pl.when(last).then(1.0).otherwise(2.0).cast(bars.schema["volume"]).alias("volume"))
    inputs = {"ticks": bench.ticks(ticks), "markets": bench.markets(universe(m={"interval": "300s"}))}
    snapshot = bench.features(inputs, _written(tmp_path, {"body": CLEAN["body"]}), base=tmp_path)
    memo = json.loads(bench.lake.read_bytes(snapshot.by_key[LEAKS]))
    assert memo["not_tested"] == []
    assert "volume_zscore" not in memo["tested"]


@pytest.mark.parametrize("hours", range(1, 13))
def test_clean_features_are_refused_at_no_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: tuple[Bench, dict[str, Snapshot]], hours: int
) -> None:
    """A rolling sum whose last returns are 0 misses 0 by a rounding, which no newest row alone can measure."""
    cut = START.replace(day=2) + hours * timedelta(minutes=115)
    monkeypatch.setattr(leaks, "_cut", lambda *_: cut)
    bench, inputs = small
    bench.features(inputs, _written(tmp_path, CLEAN), base=tmp_path)
