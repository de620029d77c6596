"""The trader over history: decided out of sight of the future, refused with reasons, books that balance."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from agent.amounts import total
from agent.cli.replays import replay_text
from agent.store.database.engine import Database
from agent.store.trading import booking
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.feeds.columns import TableFeed
from agent.trading.ledger import rebuilt
from agent.trading.model import movement_of
from agent.trading.replay import Replayed, replay
from agent.trading.steps.desk import fill_of
from pipelines.costs import Costs
from tests.paper import MARKET, START, D, listing, tables_of, trader

OTHER = "test:ETH-USD"
COSTS = Costs(half_spread=0.0005, slippage=0.0002, fee=0.001)


def walk(seed: int, bars: int) -> list[float]:
    rng, prices = random.Random(seed), [100.0]
    for _ in range(bars - 1):
        prices.append(round(prices[-1] * math.exp(rng.gauss(0, 0.01)), 4))
    return prices


def replayed(database: Database, release: Any = None, **settings: Any) -> tuple[Replayed, int]:
    feed = scripted(release)
    clock = ReplayClock(START)
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD"), **settings) as one:  # type: ignore[arg-type]  # a clock
        return replay(one, clock, feed.ends(None, None)), one.desk.agent_id


def scripted(release: Any = None) -> TableFeed:
    bars = 60
    enters = {
        name: {bar: random.Random(f"{name}{bar}").choice((-1, 0, 0, 1)) for bar in range(bars)}
        for name in (MARKET, OTHER)
    }
    tables = tables_of(
        {MARKET: walk(1, bars), OTHER: walk(2, bars)},
        enters,
        [listing(MARKET, COSTS), listing(OTHER, COSTS)],
        volume=50.0,
    )
    return TableFeed(tables if release is None else replace(tables, release=replace(tables.release, **release)))


def test_the_books_balance_after_every_fill_and_a_rebuild_changes_nothing(database: Database) -> None:
    found, agent = replayed(database, max_correlated_assets=5)
    assert found.trades > 5
    assert found.killed is None
    with database.reading() as connections:
        conn = connections.project
        fills = [fill_of(row) for row in booking.fills_of(conn, "paper", "main")]
        movements = [movement_of(row) for row in booking.movements_of(conn, "paper", "main")]
        rows = booking.positions_of(conn, agent)
        trades = booking.trades_of(conn, agent)
        curve = booking.equity_of(conn, agent, 10_000)
    books = rebuilt(fills, movements)
    assert curve[0]["cash"] == books.cash
    for row in rows:
        line = books.lines[row["market_id"], row["outcome"]]
        assert (row["quantity"], row["realized"], row["fees"]) == (line.quantity, line.realized, line.fees)
    assert total(one["pnl"] for one in trades) == total(one.pnl for one in books.trades)
    assert len(trades) == len(books.trades)
    assert all(one["equity"] == total((one["cash"], one["position_value"])) for one in curve)
    assert max(one.quantity for one in fills) <= D(5)  # a tenth of the volume of 50


def test_nothing_is_sent_without_confidence_and_each_refusal_is_counted(database: Database) -> None:
    found, _ = replayed(database, min_confidence_threshold=0.9)
    assert (found.sent, found.trades, found.equity) == (0, 0, D(10_000))
    assert found.refused["confidence"] == found.actions["buy"] > 0
    assert found.examples["confidence"] == "80.0 % is below 90.0 %"


def test_what_is_not_tradable_is_not_traded_over_history_either(database: Database) -> None:
    """Each entry that the rule finds is refused, and why; what the trader of that release would have done."""
    release = {"is_tradable": False, "untradable": "no better than the base rate"}
    found, _ = replayed(database, release)
    assert (found.sent, found.trades, found.equity) == (0, 0, D(10_000))
    assert found.refused == {"release_age": found.actions["buy"]}
    assert found.actions["buy"] > 0
    text = replay_text(found, scripted(release), [MARKET])
    assert "nothing was sent at the project's costs" in text
    assert "most by release_age (the release is not tradable: no better than the base rate)" in text
    assert "`agent run-agent` opens nothing with it.\n" in text
    assert "The rule was traded all the same." in replay_text(found, scripted(release | {"is_tradable": True}), [])


def test_a_kill_ends_a_replay_flat(database: Database) -> None:
    found, agent = replayed(database, kill_switch_loss_pct=0.0005)
    assert found.killed == "LOSS_LIMIT"
    assert found.cycles < found.bars
    with database.reading() as connections:
        assert all(row["quantity"] == 0 for row in booking.positions_of(connections.project, agent))


def test_the_same_history_gives_the_same_result(sqlite_url: str, tmp_path: Any) -> None:
    import shutil

    from agent.store.database.engine import open_engine

    found = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.sqlite"
        shutil.copy(sqlite_url.removeprefix("sqlite:///"), path)
        engine = open_engine(f"sqlite:///{path}")
        found.append(replayed(Database(engine, engine))[0])
        engine.dispose()
    assert found[0] == found[1]
    assert found[0].pnl == pytest.approx(found[1].pnl)
