"""No feature sees the future, no window reaches back beyond its span, and the same input gives the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.components.features import Settings
from pipelines.errors import ContractViolation, SettingsError
from pipelines.snapshot import Snapshot
from tests.paths import PROJECT, needs_shared_data
from tests.ticks import Bench, crypto_5m, crypto_trades, source_bars, trades, universe, walk

START = datetime(2018, 1, 11, tzinfo=UTC)


def market_of(ticks: pl.DataFrame, seconds: int | None) -> pl.DataFrame:
    ids = ticks.get_column("market_id").unique()
    return universe(**{name: {"interval_seconds": seconds} for name in ids})


@needs_shared_data
@pytest.mark.parametrize("cut", [0.03, 0.31, 0.5001, 0.77, 0.999])
@pytest.mark.parametrize("name", ["candles", "trades"])
def test_ticks_after_a_row_do_not_change_it(tmp_path: Path, name: str, cut: float) -> None:
    """Truncated at any instant, the rows at or before it are the same bit for bit."""
    bench = Bench(tmp_path)
    ticks = crypto_5m(["ADA_BTC", "ETH_BTC"], 3) if name == "candles" else crypto_trades()
    markets = {"markets": bench.markets(market_of(ticks, 300 if name == "candles" else None))}
    known = "end" if name == "candles" else "ts"  # when a row is known
    low, high = ticks[known].min(), ticks[known].max()
    assert isinstance(low, datetime)
    assert isinstance(high, datetime)
    until = low + (high - low) * cut
    full = bench.table(bench.features({"ticks": bench.ticks(ticks), **markets}), "features/")
    seen = ticks.filter(pl.col(known) <= until)
    less = bench.table(bench.features({"ticks": bench.ticks(seen), **markets}), "features/")
    early = less.filter(pl.col("ts") <= until)
    assert early.height > 0
    assert early.equals(full.filter(pl.col("ts") <= until))


def test_the_newest_bar_waits_until_it_is_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    markets = {"markets": bench.markets(universe(a={}, b={}))}
    early = trades(("a", START + timedelta(seconds=s), 1.0) for s in (10, 310, 500))
    snapshot = bench.features({"ticks": bench.ticks(early), **markets})
    assert bench.table(snapshot, "bars/")["ts"].to_list() == [START + timedelta(seconds=300)]
    # A tick of any market after its end shows that it is over; the earlier partition is completed then.
    late = pl.concat([early, trades([("b", START + timedelta(days=1), 5.0)])])
    inputs = {"ticks": bench.ticks(late), **markets}
    more = bench.features(inputs, None, snapshot, {"ticks": bench.ticks(early), **markets})
    assert bench.table(more, "bars/")["ts"].to_list() == [START + timedelta(seconds=s) for s in (300, 600)]
    assert more.version == bench.features(inputs).version


def test_a_market_that_trades_rarely_gets_no_longer_reach(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    # Bars of 300 s, the third one 40 intervals after the second.
    instants = [0, 300, 300 * 42, 300 * 43, 300 * 44]
    ticks = trades(("m", START + timedelta(seconds=s + 299), 1.0 + s) for s in instants)
    rows = bench.table(bench.features({"ticks": bench.ticks(ticks), "markets": bench.markets(universe(m={}))}), "feat")
    assert rows["log_return_1"].is_null().to_list() == [True, False, True, False, False]
    # Three bars within 3 × 5 intervals: only the last row has them.
    assert rows["log_return_2"].is_null().to_list() == [True, True, True, True, False]
    longer = bench.features(
        {"ticks": bench.ticks(ticks), "markets": bench.markets(universe(m={}))}, Settings(max_reach=30.0)
    )
    assert bench.table(longer, "feat")["log_return_2"].is_null().to_list() == [True, True, False, False, False]


PROGRAM = """
import sys
from pathlib import Path
from tests.integration.features.test_no_look_ahead import many_versions
print(many_versions(Path(sys.argv[1]), 5))
"""


def many_versions(root: Path, times: int) -> str:
    """Versions of the same features computed `times` times: one, if all are equal."""
    import datetime as dt

    bench = Bench(root)
    start = dt.datetime(2018, 1, 11, tzinfo=dt.UTC)
    names = [f"m{number:02d}" for number in range(12)]
    bars = [walk(name, bars=288 * 2, seconds=300, start=start, seed=number) for number, name in enumerate(names)]
    ticks = source_bars(pl.concat(bars), 300)
    inputs = {"ticks": bench.ticks(ticks), "markets": bench.markets(market_of(ticks, 300))}
    coarse = Settings(interval=900)  # sums of several bars
    return " ".join(sorted({bench.features(inputs, coarse).version for _ in range(times)}))


def test_the_same_bits_whatever_the_threads(tmp_path: Path) -> None:
    found = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / threads)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout.strip())
    assert len(found) == 1
    assert len(found.pop().split()) == 1


OWN = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pipelines.feature import Bars, feature
if TYPE_CHECKING:
    import polars as pl

@feature(bars=3)
def my_range(bars: Bars) -> pl.Expr:
    return bars.high.rolling_max(3) - bars.low.rolling_min(3)

@feature(bars=1)
def {name}(bars: Bars) -> pl.Expr:
    return {formula}
"""


@pytest.fixture
def small(tmp_path: Path) -> tuple[Bench, dict[str, Snapshot]]:
    bench = Bench(tmp_path / "lake")
    ticks = source_bars(walk("m", bars=50, seconds=300, start=START), 300)
    return bench, {"ticks": bench.ticks(ticks), "markets": bench.markets(market_of(ticks, 300))}


def test_an_own_feature_is_one_file(tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]]) -> None:
    bench, inputs = small
    (tmp_path / "mine.py").write_text(OWN.format(name="body", formula="bars.close - bars.open"), encoding="utf-8")
    snapshot = bench.features(inputs, Settings(modules=("mine.py",)), base=tmp_path)
    rows, bars = bench.table(snapshot, "features/"), bench.table(snapshot, "bars/")
    assert rows.columns[-2:] == ["my_range", "body"]
    assert rows["body"].to_list() == (bars["close"] - bars["open"]).cast(pl.Float32).to_list()


@pytest.mark.parametrize(
    "formula",
    [
        "bars.close.shift(-1)",
        "bars.close / bars.close.mean()",
        "bars.close.max()",
        "bars.low.min()",
        "bars.close.rolling_mean(5, center=True)",
    ],
)
def test_an_own_feature_that_sees_the_future_is_refused(
    tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]], formula: str
) -> None:
    bench, inputs = small
    (tmp_path / "mine.py").write_text(OWN.format(name="oracle", formula=formula), encoding="utf-8")
    with pytest.raises(ContractViolation, match=r"feature 'oracle' sees the future(?s:.*)where: mine\.py, first at"):
        bench.features(inputs, Settings(modules=("mine.py",)), base=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "module 'mine.py' has no feature"),
        (
            OWN.format(name="rsi", formula="bars.close"),
            "two features are called 'rsi'\n  where: pipelines.components.features and mine.py",
        ),
        ("1 / 0", "cannot load 'mine.py': ZeroDivisionError"),
    ],
)
def test_a_bad_module_of_features_is_said(
    tmp_path: Path, small: tuple[Bench, dict[str, Snapshot]], text: str, said: str
) -> None:
    bench, inputs = small
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        bench.features(inputs, Settings(modules=("mine.py",)), base=tmp_path)
    assert said in str(caught.value)
