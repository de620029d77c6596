"""The trader over history and the simulation hold the same positions at the same times where their rules coincide: long
only, no limit that is reached, room for all. Sizes differ on purpose: the trader sizes by risk, and before the fill."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.replay import replay
from pipelines.costs import Costs
from pipelines.modelling.kernel import REASONS
from tests.paper import HOUR, START, feed_of, listing, trader
from tests.rowwise_simulation import Row
from tests.simulation import RULES, piece_of, run

COSTS = Costs(half_spread=0.0003, slippage=0.0002, fee=0.001)
NAMES = ("test:BTC-USD", "test:ETH-USD", "test:SOL-USD")
BARS = 50
HOURS = int(HOUR.total_seconds() * 1e6)


def micros(moment: Any) -> int:
    return round(moment.timestamp() * 1e6)


def history(seed: int) -> tuple[dict[str, list[float]], dict[str, dict[int, int]]]:
    draw = random.Random(seed)
    prices, enters = {}, {}
    for name in NAMES:
        walk = [100.0]
        for _ in range(BARS - 1):
            walk.append(round(walk[-1] * math.exp(draw.gauss(0, 0.01)), 4))
        prices[name] = walk
        enters[name] = {bar: draw.choice((-1, 0, 0, 1)) for bar in range(BARS)}
    return prices, enters


def simulated(prices: dict[str, list[float]], enters: dict[str, dict[int, int]]) -> list[tuple[Any, ...]]:
    """Closed trades: market, times of entry and exit, prices."""
    rows = []
    for number in range(BARS):
        for name in NAMES:
            end, walk = START + HOUR * number, prices[name]
            close = walk[min(number + 1, BARS - 1)]
            rows.append(Row(micros(end), name, micros(end - HOUR), walk[number], close, enters[name][number], 0.1))
    piece = piece_of(rows, COSTS, spacing=HOURS)
    found = run(piece, replace(RULES, allow_short=False, max_positions=len(NAMES), max_weight=0.05)).trades
    assert {REASONS[one] for one in found.reason} == {"horizon", "flip"}
    columns = (found.market, found.entry_at, found.exit_at, found.entry_price, found.exit_price)
    return sorted(
        (piece.names[market], int(entry), int(leaves), float(paid), float(got))
        for market, entry, leaves, paid, got in zip(*columns, strict=True)
    )


def test_the_same_bars_are_held_at_the_same_prices(database: Database) -> None:
    prices, enters = history(2)
    feed = feed_of(prices, enters, [listing(name, COSTS) for name in NAMES], horizon_bars=RULES.horizon_bars)
    clock = ReplayClock(START)
    settings: dict[str, Any] = {"max_concentration_pct": 5.0, "max_correlated_assets": 9, "max_daily_trades": 10_000}
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD", "SOLUSD"), **settings) as one:  # type: ignore[arg-type]
        found = replay(one, clock, feed.ends(None, None))
        with database.reading() as connections:
            rows = booking.trades_of(connections.project, one.desk.agent_id)
    assert found.killed is None
    expected = simulated(prices, enters)
    assert len(expected) >= 10
    ms = 1_000  # a fill is dated one millisecond after the open, see decision 52
    traded = sorted(
        (
            row["market_id"],
            micros(row["opened_at"]) - ms,
            micros(row["closed_at"]) - ms,
            row["entry"],
            row["exit"],
        )
        for row in rows
    )
    assert [one[:3] for one in traded] == [one[:3] for one in expected]
    for ours, theirs in zip(traded, expected, strict=True):
        assert [float(one) for one in ours[3:]] == pytest.approx(theirs[3:], rel=1e-9)
