"""Acceptance test 36: with the simulation's sizes and fills the trader does what the simulation does, trade for trade,
whatever the history: short sales, flips at one open, markets that fall silent, payouts, too few places."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.store.database.throwaway import throwaway
from agent.trading.config import TradingAgentConfig
from agent.trading.feed import Listing, Published, ReleaseInfo
from agent.trading.feeds.columns import BarColumns, TableFeed, Tables
from agent.trading.model import Instrument
from agent.trading.replay.like_simulation import OFF, Likeness, replay_like, rules_on
from agent.trading.rule import name_of
from pipelines.costs import Costs
from pipelines.decision import Rules
from pipelines.modelling.simulation import Piece
from tests.paper import NAN
from tests.paths import SHARED_DATA, needs_shared_data
from tests.rowwise_simulation import Row
from tests.simulation import BINARY, COSTS, MINUTE, RULES, binary_rows, histories, paid_out, piece_of, rows_from

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def feed_of(rows: Sequence[Row], costs: Costs, rules: Rules, paid: Sequence[tuple[int, str, float]] = ()) -> TableFeed:
    """The rows of a simulated history as a trader reads them."""
    payouts = {name: (at, price) for at, name, price in paid}
    listings, bars, said = {}, {}, {}
    for name in sorted({row.market for row in rows}):
        its = [row for row in rows if row.market == name]
        none = [NAN] * len(its)
        starts, ends = [moment(row.start) for row in its], [moment(row.ts) for row in its]
        bars[name] = BarColumns(starts, ends, [row.open for row in its], [row.close for row in its], none, none, none)
        kind = "binary" if costs.is_binary else "spot"
        instrument = Instrument(market_id=name, kind=kind, tick=Decimal("1e-8"), lot=Decimal("1e-18"), base=name)
        at, price = payouts.get(name, (None, None))
        listings[name] = Listing(
            instrument=instrument,
            costs=costs,
            bar_seconds=60.0,
            name=name,
            payout=None if price is None else Decimal(str(price)),
            resolved_at=None if at is None else moment(at),
        )
        said[name] = [
            Published(
                market_id=name,
                ts=moment(row.ts),
                enters=row.side,
                probability=0.5,
                confidence=0.5,
                net_edge=row.strength,
                reason="scripted",
                horizon_bars=rules.horizon_bars,
                model_version="v",
                may_short=rules.allow_short or costs.is_binary,
            )
            for row in its
        ]
    info = ReleaseInfo(name="scripted", is_tradable=True, is_historical=True, base_rate=0.5)
    return TableFeed(Tables(info, listings, bars, said))


def alike(rows: Sequence[Row], rules: Rules, costs: Costs = COSTS, paid: Sequence[float] = ()) -> Likeness:
    last = max(row.ts for row in rows) + 5 * MINUTE
    names = sorted({row.market for row in rows})
    payouts = [(last + n * MINUTE, name, price) for n, (name, price) in enumerate(zip(names, paid, strict=False))]
    piece: Piece = piece_of(rows, costs, payouts)
    with throwaway() as database:
        feed = feed_of(rows, costs, rules, payouts)
        return replay_like(database, feed, TradingAgentConfig(), piece, rules)[1]


def script(*sides: Sequence[int], step: int = 2) -> list[Row]:
    """One market per script; prices rise and fall in turn."""
    minutes = [
        [(step if number % 3 else -step, side[number], True) for side in sides] for number in range(len(sides[0]))
    ]
    return rows_from(minutes)


def rising(percent: int) -> list[Row]:
    """Sold short at the first bar, while the price only rises."""
    return rows_from([[(percent, -1, True)] for _ in range(8)])


SCRIPTS = {
    "long to its horizon": (script([1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), RULES),
    "turned round at one open": (script([1, 0, -1, 0, 1, 0, -1, 0, 0, 0, 0, 0]), RULES),
    "no short sales": (script([1, 0, -1, -1, 1, 0, 0, 0, 0, 0]), replace(RULES, allow_short=False)),
    "one place for two": (script([1, 0, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0, 0]), replace(RULES, max_positions=1)),
    "all of it in one": (script([1, -1, 1, -1, 1, -1, 0, 0]), replace(RULES, max_positions=1, max_weight=1.0)),
    "a margin call": (rising(45), replace(RULES, max_positions=1, max_weight=1.0)),
    "ruined": (rising(120), replace(RULES, max_positions=1, max_weight=1.0)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_traded_as_simulated(name: str) -> None:
    rows, rules = SCRIPTS[name]
    found = alike(rows, rules)
    assert found.simulated > 0
    assert found.different == ()
    assert found.is_alike
    assert set(found.changed.values()) == {0}


def test_a_market_that_falls_silent_is_given_up_as_simulated() -> None:
    quiet = [[(1, 1 if number == 0 else 0, True), (2, 0, number < 3)] for number in range(30)]
    quiet[1][1] = (2, 1, True)
    found = alike(rows_from(quiet), RULES)
    assert (found.simulated, found.different) == (2, ())
    assert found.is_alike


@needs_shared_data
def test_hours_of_bitcoin_are_traded_as_simulated() -> None:
    draw, bars = random.Random(36), pl.read_parquet(SHARED_DATA / "coinbase-1h/BTCUSD-1h.parquet").tail(120)
    rows = []
    for one in bars.iter_rows(named=True):
        start = (one["ts"] - EPOCH) // timedelta(microseconds=1)
        side = draw.choice((-1, 0, 0, 1))
        rows.append(Row(start + 60 * MINUTE, "BTC", start, one["open"], one["close"], side, draw.random()))
    found = alike(rows, RULES)
    assert found.simulated > 10
    assert (found.different, found.is_alike) == ((), True)


@settings(max_examples=4, deadline=None)
@given(histories.filter(lambda rows: len(rows) > 12), st.booleans(), st.integers(1, 3))
def test_any_history_is_traded_as_simulated(rows: list[Row], short: bool, positions: int) -> None:
    found = alike(rows, replace(RULES, allow_short=short, max_positions=positions))
    assert found.different == ()
    assert found.worst <= 1e-9


@settings(max_examples=3, deadline=None)
@given(histories.filter(lambda rows: len(rows) > 12), paid_out)
def test_binary_markets_are_paid_as_simulated(rows: list[Row], paid: list[float]) -> None:
    found = alike(binary_rows(rows), RULES, BINARY, paid)
    assert found.different == ()
    assert found.worst <= 1e-9


def test_what_is_off_are_rules_and_what_is_on_is_the_rest() -> None:
    from agent.trading import rules

    names = {name_of(one) for one in rules.load()}
    assert names >= OFF
    assert {name_of(one) for one in rules_on()} == names - OFF
