"""Where a backtest's money came from, on curves and trades that one can add up by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.attribution import (
    By,
    Drawdown,
    attributed,
    extremes,
    marks,
    periods,
    rolling_sharpe,
    sharpe_window,
    trades_apart,
    with_probability,
    worst_drawdowns,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def curve(equity: list[float], step: timedelta = DAY) -> pl.DataFrame:
    times = [START + number * step for number in range(len(equity))]
    return pl.DataFrame({"ts": times, "equity": equity}, schema_overrides={"equity": pl.Float64}, strict=False)


def trade(market: str = "a", day: int = 0, pnl: float = 0.1, probability: float | None = 0.61, side: int = 1) -> dict:
    at = START + day * DAY
    row = {"market_id": market, "side": side, "signal_at": at, "entry_at": at, "exit_at": at + DAY, "pnl": pnl}
    return {**row, "probability": probability, "reason": "flip" if pnl < 0 else "horizon"}


def trades(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={"probability": pl.Float64})


def test_trades_are_summed_by_what_one_asks_for() -> None:
    rows = trades(trade("a", 0, 0.2), trade("b", 0, -0.3, 1.0), trade("a", 1, 0.05, None))
    found = {by: attributed(rows, by).rows() for by in ("market_id", "day", "probability", "reason")}
    assert found["market_id"] == [("a", 2, 2, 0.25), ("b", 1, 0, -0.3)]
    assert found["day"] == [("2024-01-02", 2, 1, pytest.approx(-0.1)), ("2024-01-03", 1, 1, 0.05)]
    assert found["probability"] == [("60 to 70 %", 1, 1, 0.2), ("90 to 100 %", 1, 0, -0.3), ("unknown", 1, 1, 0.05)]
    assert [row[0] for row in found["reason"]] == ["horizon", "flip"]


def test_a_trade_has_the_probability_of_its_own_signal() -> None:
    rows = trades(trade("a"), trade("b"), trade("a", 1)).drop("probability")
    forecasts = pl.DataFrame(
        {"market_id": ["a", "b", "b"], "ts": [START, START + DAY, START], "probability": [0.7, 0.1, 0.4]}
    )
    assert with_probability(rows, forecasts).get_column("probability").to_list() == [0.7, 0.4, None]
    assert with_probability(rows, pl.concat([forecasts, forecasts])).height == 3


def test_the_middle_is_left_out_and_counted() -> None:
    found = attributed(trades(*(trade(f"m{n}", n, n - 5.0) for n in range(10))), "day")
    shown, left_out = extremes(found, 4)
    assert (shown.get_column("pnl").to_list(), left_out) == ([-5.0, -4.0, 3.0, 4.0], 6)
    assert extremes(found, 10) == (found, 0)


@pytest.mark.parametrize(("is_binary", "prices"), [(True, [0.25, 0.6, 0.4, 0.25]), (False, [0.25, 0.4, 0.4, 0.75])])
def test_a_held_no_stands_on_the_chart_of_yes(is_binary: bool, prices: list[float]) -> None:
    facts = {"entry_price": 0.4, "exit_price": 0.75}
    found = marks(
        trades({**trade(side=-1), **facts}, {**trade(day=0), "entry_price": 0.25, "exit_price": 0.4}),
        is_binary=is_binary,
    )
    assert found.get_column("what").to_list() == ["entry", "entry", "exit", "exit"]
    assert sorted(found.get_column("price").to_list()) == sorted(prices)
    assert found.get_column("at").is_sorted()


def test_a_short_curve_has_a_short_window() -> None:
    assert [sharpe_window(curve([1.0] * count)) for count in (0, 2, 365, 366)] == [30, 30, 30, 90]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.floats(-1, 1), st.floats(0, 1)), min_size=1))
def test_every_way_of_summing_has_the_same_sum(rows: list[tuple[str, int, float, float]]) -> None:
    table = trades(*(trade(*row) for row in rows))
    ways: tuple[By, ...] = ("market_id", "day", "probability", "reason")
    for by in ways:
        found = attributed(table, by)
        assert found.get_column("pnl").sum() == pytest.approx(sum(row[2] for row in rows), abs=1e-9)
        assert found.get_column("trades").sum() == len(rows)


def test_drawdowns_run_from_peak_to_peak_deepest_first() -> None:
    found = worst_drawdowns(curve([1, 2, 1, 1.5, 3, 2.4, 2.7, 3, 1.5]), 2)
    assert found == [
        Drawdown(0.5, START + 1 * DAY, START + 2 * DAY, START + 4 * DAY),
        Drawdown(0.5, START + 7 * DAY, START + 8 * DAY, None),
    ]
    assert worst_drawdowns(curve([1, 2, 3]), 5) == []
    assert worst_drawdowns(pl.DataFrame(), 5) == []


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_worst_drawdown_is_the_largest_fall(equity: list[float]) -> None:
    peak = largest = 0.0
    for value in equity:
        peak = max(peak, value)
        largest = max(largest, 1 - value / peak)
    found = worst_drawdowns(curve(equity), 1)
    assert (found[0].depth if found else 0.0) == pytest.approx(largest)


def test_the_rolling_sharpe_is_of_daily_returns() -> None:
    found = rolling_sharpe(curve([1, 1.1, 1.1, 1.21]), 3)
    mean, deviation = 0.2 / 3, 0.1 / 3**0.5
    assert found.item(0, "sharpe") == pytest.approx(mean / deviation * 365.25**0.5)
    assert found.get_column("ts").to_list() == [START + 3 * DAY]
    assert rolling_sharpe(curve([1, 1, 1, 1, 1]), 3).is_empty()
    assert rolling_sharpe(curve([1, 2]), 3).is_empty()


@given(st.lists(st.floats(0.5, 2), min_size=2, max_size=100))
def test_periods_multiply_to_the_whole_growth(equity: list[float]) -> None:
    name, found = periods(curve(equity))
    assert name == ("month" if len(equity) - 1 > 62 else "day")
    assert (1 + found.get_column("value")).product() == pytest.approx(equity[-1] / equity[0])


def test_trades_of_one_alone() -> None:
    before = trades(trade("a"), trade("b", pnl=0.1), trade("c", pnl=-0.4))
    after = trades(trade("a", pnl=0.09), trade("b", side=-1))
    found = trades_apart(before, after)
    assert found.both == 1
    assert found.before.get_column("market_id").to_list() == ["c", "b"]
    assert found.after.get_column("side").to_list() == [-1]
