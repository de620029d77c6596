"""What the pages read of a real project agrees with what the project recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import psutil
import pytest

from agent.execution import backtests
from pipelines.evaluation import attribution
from tests.lazy import Lazy
from tests.served import wait_until

if TYPE_CHECKING:
    from dashboard.data import Session

actions, data = Lazy("dashboard.actions"), Lazy("dashboard.data")
market_data, model_data = Lazy("dashboard.market_data"), Lazy("dashboard.model_data")


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


def test_the_universe_counts_bars(desk: Session) -> None:
    universe = market_data.universe(desk)
    assert universe is not None
    assert universe.height == 5
    features = data.output(desk, "features")
    assert features is not None
    assert universe.get_column("bars").sum() == sum(one.rows for one in features.select("bars/"))
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
        if data.run_with_attempts(desk, run.id)[0].status == "QUEUED":
            actions.cancel_run(desk, run.id)
    wait_until(lambda: set(psutil.Process().children()) <= others, seconds=60, what="the workers to end")
