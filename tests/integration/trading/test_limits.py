"""Limits that stop what opens and never what closes, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, orders, showing
from tests.paper import HOUR, MARKET, START, Altered, D, MovedClock, cycles, feed_of, trader

ETH, SOL = "test:ETH-USD", "test:SOL-USD"


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def test_25_the_daily_limit_lets_a_stop_pass_and_counts_it(database: Database) -> None:
    clock = MovedClock()
    prices = {MARKET: [100.0, 100.0, 100.0, *[97.0] * 30], ETH: [100.0] * 40, SOL: [100.0] * 40}
    enters = {MARKET: {0: 1}, ETH: {1: 1}, SOL: {4: 1, 24: 1}}
    feed = feed_of(prices, enters, horizon_bars=30)
    settings: dict[str, Any] = {"max_daily_trades": 2, "stop_loss": 0.02, "max_correlated_assets": 5}
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD", "SOLUSD"), **settings) as one:
        one.recover()
        done = cycles(one, clock, range(5))
        agent = one.desk.agent_id
        assert [(each.sent, each.refused) for each in done] == [(1, 0), (1, 0), (1, 0), (0, 0), (0, 1)]
        found = rows(database, orders.of_agent, agent)
        assert [(each["purpose"], each["status"]) for each in found] == [
            ("open", "filled"),
            ("open", "filled"),
            ("stop", "filled"),
        ]
        assert len(rows(database, orders.sent_since, agent, START)) == 3
        (last,) = [each for each in rows(database, deciding.decisions_of, agent, SOL, 1) if each["cycle"] == 5]
        assert [each["reason"] for each in last["verdicts"] if each["verdict"] == "refuse"] == [
            "daily limit 2 reached, 3 sent since 00:00 UTC, next at 2026-01-31 00:00 UTC"
        ]
        assert [each.sent for each in cycles(one, clock, (24,))] == [1]  # and from midnight on it may


def test_26_five_cycles_that_fail_pause_entries_and_one_good_one_ends_it(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of(
        {MARKET: [100.0] * 20, ETH: [100.0] * 20}, {MARKET: {0: 1}, ETH: dict.fromkeys((7, 8), 1)}, horizon_bars=2
    )
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD"), stale_action="pause") as one:
        one.recover()
        cycles(one, clock, (0, 1))
        platform = Altered(one.desk.platform, lambda _: None)
        one.desk = replace(one.desk, platform=platform)  # type: ignore[arg-type]  # has all that a platform has
        agent = one.desk.agent_id
        platform.is_on = True
        for hour in range(2, 6):
            assert not cycles(one, clock, (hour,))[0].is_good
        assert "analysis_failures" not in (rows(database, account.load, agent)["trading_reason"] or {})
        cycles(one, clock, (6,))
        row = rows(database, account.load, agent)
        assert row["trading_state"] == "paused"
        assert row["trading_reason"]["analysis_failures"] == "5 cycles in a row in which every market failed"
        made = rows(database, deciding.decisions_of, agent, ETH, 5)
        assert [(each["cycle"], each["action"], showing.why(each)) for each in made] == [
            (number, "abstain", "nothing is known of its price") for number in range(7, 2, -1)
        ]
        platform.is_on = False
        (good,) = cycles(one, clock, (7,))  # closes what is overdue; the entry comes a cycle too early
        assert (good.sent, good.refused) == (1, 1)
        assert rows(database, account.load, agent)["trading_state"] == "active"
        (after,) = cycles(one, clock, (8,))
        assert after.sent == 1
        found = [(each["purpose"], each["status"]) for each in rows(database, orders.of_agent, agent)]
        assert sorted(found) == [("open", "denied"), ("open", "filled"), ("open", "open"), ("reduce", "filled")]
        assert rows(database, booking.position_of, agent, (MARKET, ""))["quantity"] == D(0)
        assert clock.at == START + 8 * HOUR


def test_failures_that_are_not_in_a_row_pause_nothing(database: Database) -> None:
    """Four cycles in which every market failed, a good one, four more; and one market that fails beside a good one."""
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0] * 20, ETH: [100.0] * 20}, {})
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD")) as one:
        one.recover()
        failing: set[str] = {MARKET, ETH}
        platform = Altered(one.desk.platform, lambda quote: None if quote.market_id in failing else quote)
        one.desk = replace(one.desk, platform=platform)  # type: ignore[arg-type]  # has all that a platform has
        cycles(one, clock, range(4))
        assert one.analysis_failures == 4
        failing.clear()
        assert cycles(one, clock, (4,))[0].is_good
        failing |= {MARKET, ETH}
        cycles(one, clock, range(5, 9))
        failing.remove(ETH)
        assert all(each.is_good and each.failed for each in cycles(one, clock, range(9, 15)))
        row = rows(database, account.load, one.desk.agent_id)
        assert (row["trading_state"], row["trading_reason"]) == ("active", None)
        assert one.failed_at == []
