"""What the pages read of a real project agrees with what the project recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import psutil
import pytest

from agent.execution import backtests
from pipelines.evaluation import attribution
from pipelines.lake import Lake
from tests.lazy import Lazy
from tests.served import wait_until

if TYPE_CHECKING:
    from dashboard.data import Session

actions, data = Lazy("dashboard.actions"), Lazy("dashboard.data")
market_data, model_data = Lazy("dashboard.market_data"), Lazy("dashboard.model_data")
run_data = Lazy("dashboard.run_data")
markets = Lazy("dashboard.tabs.markets")


def test_candles_lose_no_extreme_and_no_volume(desk: Session) -> None:
    features = data.output(desk, "features")
    assert features is not None
    bars = (
        desk.workspace.lake.scan_tables(features.select("bars/")).filter(pl.col("market_id") == "sample:IBM").collect()
    )
    candles = market_data.candles(desk, "sample:IBM")
    assert candles.height <= backtests.CANDLES < bars.height
    assert candles.get_column("bars").sum() == bars.height
    assert candles.get_column("high").max() == bars.get_column("high").max()
    assert candles.get_column("low").min() == bars.get_column("low").min()
    assert candles.item(0, "open") == bars.item(0, "open")
    assert candles.item(-1, "close") == bars.item(-1, "close")
    last = bars.item(-1, "end")
    week = market_data.candles(desk, "sample:IBM", last - timedelta(days=7), None)
    assert 3 <= week.height <= 6
    assert week.get_column("bars").to_list() == [1] * week.height


def test_prices_have_the_digits_of_other_pages(desk: Session) -> None:
    universe = market_data.universe(desk)
    assert universe is not None
    universe = universe.with_columns(
        pl.Series("last_price", [0.06756038, 12345.678, None, 0.5, 1.25]),
        pl.Series("tick_size", [None, None, None, None, 0.5]),
    )
    rows = markets.rows(universe)
    assert rows.get_column("last_price").to_list() == [0.06756, 12345.68, None, 0.5, 1.0]
    assert not {"end_at", "volume"} & set(rows.columns), "no market says so"
    assert "volume" in markets.rows(universe.with_columns(volume=pl.lit(1.0))).columns


def test_the_universe_counts_bars(desk: Session) -> None:
    universe = market_data.universe(desk)
    assert universe is not None
    assert universe.height == 5
    features = data.output(desk, "features")
    assert features is not None
    assert universe.get_column("bars").sum() == sum(one.rows for one in features.select("bars/"))
    bars = desk.workspace.lake.read_tables(features.select("bars/"))
    last = bars.sort("end").group_by("market_id").agg(pl.len().cast(pl.Int64), pl.col("end", "close").last())
    assert set(universe.select("market_id", "bars", "last_ts", "last_price").rows()) == set(last.rows())
    gaps = market_data.gaps(desk, "sample:IBM")
    assert gaps is not None
    assert gaps.spacing_seconds == 86_400
    assert gaps.count == 1  # weekends are none; in September 2001 the exchange was closed for a week
    assert gaps.longest[0] == (datetime(2001, 9, 11, tzinfo=UTC), datetime(2001, 9, 17, tzinfo=UTC))
    ticks = market_data.newest_ticks(desk, "sample:IBM").get_column("start")
    assert 40 < len(ticks) <= market_data.TICKS_SHOWN
    assert ticks.is_sorted(descending=True)
    assert market_data.quarantine(desk).is_empty()
    rows = market_data.row_accounts(desk)
    assert sum(one.kept for one in rows) == sum(one.read for one in rows) > 0
    assert market_data.rewrites(desk) == []


def test_a_market_s_last_bar_is_found_wherever_it_is(tmp_path: Path) -> None:
    """One that stopped trading has it in an older partition; keys of bars made here sort before those of a source."""
    lake, day = Lake(tmp_path), timedelta(days=1)
    first = datetime(2024, 1, 1, tzinfo=UTC)
    traded = {"bars/source/2024-01-01": {"a": [1.0], "b": [2.0]}, "bars/made/2024-01-02": {"a": [4.0, 3.0]}}
    partitions = []
    for number, (key, markets) in enumerate(traded.items()):
        rows = [
            (name, first + number * day + timedelta(hours=hour), close)
            for name, closes in markets.items()
            for hour, close in enumerate(closes)
        ]
        frame = pl.DataFrame(rows, schema=["market_id", "end", "close"], orient="row")
        made = lake.write_table("features", key, frame, attempt="t1")
        partitions.append(replace(made, min_ts=rows[0][1], max_ts=rows[-1][1]))
    found = market_data.last_bars(lake, sorted(partitions, key=lambda one: one.key)).sort("market_id")
    assert found.rows() == [("a", 3, first + day + timedelta(hours=1), 3.0), ("b", 1, first, 2.0)]


def test_the_backtest_shown_is_the_backtest_recorded(desk: Session) -> None:
    curves, metrics = model_data.curves(desk), model_data.backtest_metrics(desk)
    assert curves is not None
    assert metrics is not None
    assert set(curves.get_column("strategy")) == {"model", "buy_and_hold"}  # random entries are draws without a curve
    for strategy in ("model", "buy_and_hold"):
        figures = metrics[strategy]
        mine = curves.filter(pl.col("strategy") == strategy)
        assert mine.height <= model_data.CURVE_POINTS
        assert mine.get_column("drawdown").max() == figures["max_drawdown"]
        assert abs(mine.get_column("costs").to_list()[-1] - figures["costs_paid"]) < 1e-9
    made = model_data.backtest(desk)
    assert made is not None
    _, months = attribution.periods(made.curve)
    grown = (1 + months.get_column("value")).product()
    assert abs(grown - 1 - metrics["model"]["total_return"]) < 1e-9
    assert attribution.worst_drawdowns(made.curve, 1)[0].depth == pytest.approx(metrics["model"]["max_drawdown"])
    for way in attribution.WAYS:
        found = attribution.attributed(made.trades, way)
        assert found.get_column("trades").sum() == metrics["model"]["trades"]
        assert found.get_column("won").sum() / made.trades.height == pytest.approx(metrics["model"]["hit_rate"])
        assert found.get_column("pnl").sum() == pytest.approx(made.trades.get_column("pnl").sum())
    assert made.trades.get_column("probability").null_count() == 0, "each trade was decided on a prediction"
    assert model_data.predicted_to(desk) == curves.get_column("ts").max(), "no day waits for a model"


def test_diagnostics_agree_with_the_model(desk: Session) -> None:
    metrics, card = model_data.metrics(desk), model_data.card(desk)
    assert metrics is not None
    assert card is not None
    folds = model_data.folds(desk)
    assert len(folds) == len(metrics["folds"])
    for fold in folds:
        assert abs(fold.gain - (fold.base_rate_brier - fold.brier)) < 1e-9
        assert fold.margin is not None
    derived = ("_scaled", "_market", "_relative")
    clock = ("hour_", "weekday_")
    given = {name for name in card["features"] if not name.endswith(derived) and not name.startswith(clock)}
    assert {one.feature for one in model_data.drift(desk)} == given
    ranked = model_data.importance(desk)
    assert {name for name, _ in ranked} == set(card["features"])
    assert ranked == sorted(ranked, key=lambda one: one[1], reverse=True)
    known = [row.id for row in data.history(desk, "model", 5)]
    assert model_data.past_metrics(desk, known[0]) == metrics["overall"]


def test_a_second_click_gets_the_first_ones_run(desk: Session) -> None:
    others = set(psutil.Process().children())  # the tests' nursery may be there, for one
    first = actions.run(desk)
    assert actions.run(desk).id == first.id
    other = actions.run(desk, targets=["features"])
    assert other.id != first.id
    assert data.open_run(desk) is not None
    for run in (first, other):
        if run_data.run_with_attempts(desk, run.id)[0].status == "QUEUED":
            actions.cancel_run(desk, run.id)
    wait_until(lambda: set(psutil.Process().children()) <= others, seconds=60, what="the workers to end")
