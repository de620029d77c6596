"""A trader on the paper platform, over scripted bars, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, orders, showing
from agent.store.trading.showing import Wanted
from agent.trading.feeds.columns import TableFeed
from agent.trading.platform import Refused
from agent.trading.run import sentence
from agent.trading.steps.desk import state_by
from tests.paper import HOUR, MARKET, START, Altered, D, MovedClock, cycles, feed_of, listing, tables_of, trader

RISING = [100.0, 100.0, 110.0, 120.0, 130.0, 140.0]


def rows(database: Database, reader: Any, *more: Any, **options: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more, **options)


def test_decides_at_a_bars_end_and_trades_at_the_next_open(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: RISING}, {MARKET: {0: 1}}), clock) as one:
        one.recover()
        done = cycles(one, clock, range(5))
        agent = one.desk.agent_id
    assert [each.sent for each in done] == [1, 0, 1, 0, 0]
    found = rows(database, orders.of_agent, agent)
    assert [(each["purpose"], each["side"], each["status"]) for each in found] == [
        ("open", "buy", "filled"),
        ("reduce", "sell", "filled"),
    ]
    fills = rows(database, booking.fills_of, "paper", "main")
    # Decided at START, filled at the open of the bar that starts then: 30 % of 10 000 by concentration, at 100.
    assert [(each["side"], each["price"], each["quantity"]) for each in fills] == [
        ("buy", D(100), D(30)),
        ("sell", D(120), D(30)),
    ]
    trade = rows(database, booking.trades_of, agent)[0]
    assert (trade["pnl"], trade["reason"], trade["entry_decision_id"]) == (D(600), "reduce", found[0]["decision_id"])
    newest = rows(database, booking.newest_equity, agent)
    assert (newest["cash"], newest["equity"]) == (D(10_600), D(10_600))
    position = rows(database, booking.positions_of, agent)[0]
    assert (position["state"], position["quantity"], position["realized"]) == ("flat", D(0), D(600))


def test_a_position_whose_forecasts_stop_is_left_when_its_time_is_over(database: Database) -> None:
    """Held over the bars that nothing is said of, and not a bar longer, though the last forecast would enter again."""
    clock, tables = MovedClock(), tables_of({MARKET: RISING}, {MARKET: {0: 1}}, horizon_bars=3)
    feed = TableFeed(replace(tables, said={MARKET: tables.said[MARKET][:1]}))
    with trader(database, feed, clock) as one:
        one.recover()
        done = cycles(one, clock, range(5))
        agent = one.desk.agent_id
    assert [each.sent for each in done] == [1, 0, 0, 1, 0]
    found = rows(database, orders.of_agent, agent)
    assert [(each["purpose"], each["status"]) for each in found] == [("open", "filled"), ("reduce", "filled")]


def test_a_restart_loses_nothing_and_writes_nothing(database: Database) -> None:
    clock, feed = MovedClock(), feed_of({MARKET: RISING}, {MARKET: {0: 1}})
    with trader(database, feed, clock) as one:
        one.recover()
        cycles(one, clock, range(2))
        agent = one.desk.agent_id
    clock.at = START + HOUR
    before = [rows(database, read, agent) for read in (orders.of_agent, booking.positions_of, booking.discrepancies_of)]
    with trader(database, feed, clock) as one:
        one.recover()
        one.recover()
        assert one.desk.agent_id == agent
        after = [
            rows(database, read, agent) for read in (orders.of_agent, booking.positions_of, booking.discrepancies_of)
        ]
        assert after == before
        assert cycles(one, clock, (2, 3))[0].sent == 1
    assert rows(database, booking.newest_equity, agent)["cash"] == D(10_600)


def test_every_cycle_says_why_there_was_no_trade(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: RISING}, {MARKET: {0: 1, 1: 1}}, confidence=0.59)
    with trader(database, feed, clock) as one:
        one.recover()
        done = cycles(one, clock, range(3))
        agent = one.desk.agent_id
    assert [(each.sent, each.refused) for each in done] == [(0, 1), (0, 1), (0, 0)]
    found = rows(database, deciding.decisions_of, agent, MARKET, 10)
    assert [each["action"] for each in found] == ["hold", "buy", "buy"]
    refusal = found[2]["verdicts"][-1]
    assert (refusal["rule"], refusal["verdict"]) == ("confidence", "refuse")
    assert refusal["reason"] == "59.0 % is below 60.0 %"
    assert [each["provider"] for each in found[0]["opinions"]] == ["market", "model"]
    assert found[0]["opinions"][0]["probability"] == 0.3


@pytest.mark.parametrize(
    ("market", "kind", "enters", "moves", "rule"),
    [
        (MARKET, "spot", 1, D("1.01"), "lock"),
        (MARKET, "spot", 1, D("1.0101"), "confidence"),
        (MARKET, "spot", -1, D("0.98"), "confidence"),
        ("test:RAIN", "binary", -1, D("1.005"), "lock"),  # NO at 0.5, then 0.4975
        ("test:RAIN", "binary", -1, D("1.03"), "confidence"),
    ],
)
def test_a_refused_market_rests_until_its_price_has_moved_by_more_than_1_percent(
    database: Database, market: str, kind: str, enters: int, moves: Any, rule: str
) -> None:
    prices = [0.5 if kind == "binary" else 100.0] * 4
    known, clock = [listing(market, kind=kind)], MovedClock()
    feed = feed_of({market: prices}, {market: {0: enters}}, known, confidence=0.59, may_short=True)
    with trader(database, feed, clock, (market,)) as one:
        one.recover()
        cycles(one, clock, (0,))
        clock.at += timedelta(seconds=60)
        moved = Altered(one.desk.platform, lambda at: replace(at, bid=at.bid * moves, ask=at.ask * moves))  # type: ignore[operator]  # the book has both
        one.desk = replace(one.desk, platform=moved)  # type: ignore[arg-type]  # has all that a platform has
        one.process_cycle()
        again, first = rows(database, deciding.decisions_of, one.desk.agent_id, market, 10)
    assert [each["verdicts"][-1]["rule"] for each in (first, again)] == ["confidence", rule]


@pytest.mark.parametrize(
    ("settings", "sends", "says"),
    [
        ({}, True, "Cycle 2: 2 decided, 0 sent, 0 refused. Nothing was sent: held: scripted."),
        (
            {"min_confidence_threshold": 0.9},
            True,
            "Cycle 1: 2 decided, 0 sent, 1 refused. Nothing was sent: refused by confidence: 80.0 % is",
        ),
        ({}, False, "Cycle 1: 2 decided, 0 sent, 0 refused. Nothing was sent: held: scripted (1 of 2 markets)."),
    ],
)
def test_a_cycle_that_sends_nothing_says_why(
    database: Database, settings: dict[str, Any], sends: bool, says: str
) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0] * 4, "test:ETH-USD": [50.0] * 4}, {MARKET: {0: 1}})
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD"), **settings) as one:
        one.recover()
        one.desk = replace(one.desk, sends=sends)
        first = one.process_cycle()
        clock.at += HOUR
        found = [sentence(done) for done in (first, one.process_cycle())]
    assert any(one.startswith(says) for one in found)


def test_an_order_that_a_pause_denies_is_no_order_that_was_sent(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: [100.0] * 4}, {MARKET: {0: 1}}), clock) as one:
        one.recover()
        with one.desk.step("test") as conn:
            account.pause(conn, one.desk.agent_id, "lunch", state_by)
        done = one.process_cycle()
    assert (done.sent, done.refused) == (0, 1)
    assert sentence(done).endswith("Nothing was sent: denied: the trader is paused: lunch.")
    (made,) = rows(database, showing.decisions, {"id": one.desk.agent_id}, Wanted(MARKET), not_traded=True)
    assert (made["status"], made["why"]) == ("refused", "denied: the trader is paused: lunch; scripted")


class Refusing(Altered):
    """A platform that takes no order."""

    def submit(self, order: Any) -> Refused:
        return Refused("closed_only", "no new positions here")


def test_an_order_that_the_platform_refuses_is_no_trade_and_is_not_tried_again_on_its_bar(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: [100.0] * 4}, {MARKET: {0: 1}}), clock) as one:
        one.recover()
        one.desk = replace(one.desk, platform=Refusing(one.desk.platform, lambda quote: quote))  # type: ignore[arg-type]  # has all that a platform has
        cycles(one, clock, (0, 0))
        found = rows(database, showing.decisions, {"id": one.desk.agent_id}, Wanted(MARKET), not_traded=True)
        assert [each["status"] for each in rows(database, orders.of_agent, one.desk.agent_id)] == ["rejected"]
    assert [each["why"].split(": ")[0] for each in found] == ["release age", "the platform did not take it"]
    assert found[1]["why"].endswith("no new positions here (closed_only); scripted")
