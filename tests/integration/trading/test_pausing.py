"""Softer than the kill switch: a day's loss pauses until midnight, old prices until a good reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, orders, switch
from agent.trading.model import Movement
from agent.trading.run import Trader
from agent.trading.steps.booking import book_movement, write_equity
from agent.trading.steps.execute import valued
from pipelines.costs import Costs
from pipelines.errors import LakeError
from tests.paper import HOUR, MARKET, START, Altered, D, MovedClock, cycles, feed_of, listing, live_feed, trader

# 30 units at 100; 93 is a loss of 210 of 10,000. It recovers within the day, and the day after everything is as before.
FALLING = [100.0, 100.0, 100.0, 93.0, 93.0, *[100.0] * 40]
ELECTION = "test:ELECTION"


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def state(database: Database, one: Trader) -> tuple[str, list[str]]:
    row = rows(database, account.load, one.desk.agent_id)
    return row["trading_state"], sorted(row["trading_reason"] or {})


def losing(database: Database, clock: MovedClock, limit: float, **settings: Any) -> Trader:
    feed = feed_of({MARKET: FALLING}, {MARKET: dict.fromkeys((0, 4, 26), 1)})
    return trader(database, feed, clock, max_daily_loss_pct=limit, **settings)


def test_a_loss_of_the_day_pauses_until_midnight_and_exits_go_on(database: Database) -> None:
    clock = MovedClock()
    with losing(database, clock, 0.021) as one:
        one.recover()
        cycles(one, clock, range(2))
        assert state(database, one) == ("active", [])
        cycles(one, clock, (2, 3))
        assert state(database, one) == ("paused", ["daily_loss"])
        (lock,) = rows(database, deciding.locks_at, one.desk.agent_id, clock.at)
        assert (lock["market_id"], lock["until_at"]) == ("*", START + timedelta(days=1))
        assert lock["reason"].startswith("210.00 lost since 00:00 UTC, 2.10 % of 10,000.00")
    with losing(database, clock, 0.021) as one:  # a restart knows it, and what recovered is no reason to go on
        one.recover()
        entry = cycles(one, clock, (4, 5, 23))[0]
        assert (entry.sent, entry.refused) == (0, 1)
        assert state(database, one) == ("paused", ["daily_loss"])
        assert [each["purpose"] for each in rows(database, orders.of_agent, one.desk.agent_id)] == ["open", "reduce"]
        cycles(one, clock, (24,))
        assert state(database, one) == ("active", [])
        assert [each.sent for each in cycles(one, clock, (25, 26))] == [0, 1]
    assert rows(database, switch.of_account, "paper", "main") == []


@pytest.mark.parametrize("limit", [0.0211, "off"])
def test_less_than_the_limit_pauses_nothing(database: Database, limit: Any) -> None:
    clock = MovedClock()
    with losing(database, clock, limit) as one:
        one.recover()
        done = cycles(one, clock, range(5))
        assert state(database, one) == ("active", [])
        assert [each.sent for each in done] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("flow", "limit", "expected"),
    [
        ("10000", 0.0105, "paused"),  # 210 of 20,000: the deposit hides nothing
        ("10000", 0.0106, "active"),
        ("-5000", 0.042, "paused"),  # 210 of 5,000
        ("-5000", 0.0421, "active"),  # and the withdrawal is no loss
    ],
)
def test_a_flow_hides_no_loss_and_makes_none(database: Database, flow: str, limit: float, expected: str) -> None:
    clock = MovedClock()
    with losing(database, clock, limit, reconciliation_seconds=1e6) as one:  # the flow is in the books alone
        one.recover()
        cycles(one, clock, range(2))
        clock.at += timedelta(minutes=10)
        moved = Movement(
            external_id="flow", kind="deposit" if D(flow) > 0 else "withdrawal", amount=D(flow), ts=clock.at
        )
        marks = valued(one.desk)
        with one.desk.step("test") as conn:
            book_movement(conn, one.desk, moved, marks, clock.at)
        clock.at = START + 2 * HOUR
        assert not one.look()
        assert state(database, one)[0] == expected


def test_what_was_lost_yesterday_is_not_lost_today(database: Database) -> None:
    clock = MovedClock()
    prices = [*[100.0] * 24, *[93.0] * 6]  # falls at 23:00
    feed = feed_of({MARKET: prices}, {MARKET: dict.fromkeys(range(22, 30), 1)}, horizon_bars=20)
    with trader(database, feed, clock, max_daily_loss_pct=0.01) as one:
        one.recover()
        cycles(one, clock, (21, 22))
        cycles(one, clock, (23,))
        assert state(database, one) == ("paused", ["daily_loss"])
        cycles(one, clock, (24, 25))
        assert state(database, one) == ("active", [])


def test_a_person_ends_the_pause_by_deleting_its_lock(database: Database) -> None:
    clock = MovedClock()
    with losing(database, clock, 0.02) as one:
        one.recover()
        cycles(one, clock, range(3))
        (lock,) = rows(database, deciding.locks_at, one.desk.agent_id, clock.at)
        with one.desk.step("test") as conn:
            assert deciding.delete_lock(conn, one.desk.agent_id, lock["id"], "me")
        cycles(one, clock, (3,))
        assert state(database, one) == ("active", [])


def held_binary(database: Database, clock: MovedClock, **settings: Any) -> Trader:
    costs = Costs(half_spread=0.01, is_binary=True)
    feed = feed_of(
        {ELECTION: [0.5] * 30},
        {ELECTION: dict.fromkeys(range(30), 1)},
        [listing(ELECTION, costs, kind="binary")],
        probability=0.9,
        horizon_bars=None,
        may_short=True,
    )
    return trader(
        database, feed, clock, ("ELECTION",), kill_switch_loss_pct=0.02, max_binary_loss_pct=100.0, **settings
    )


def readings(one: Trader, clock: MovedClock, gone: Sequence[bool]) -> list[bool]:
    """Whether the kill switch fired at each of these readings, a minute apart, the bid gone or not."""
    platform: Any = one.desk.platform
    found = []
    for is_gone in gone:
        clock.at += timedelta(minutes=1)
        platform.is_on = is_gone
        found.append(one.look())
    return found


def begun(one: Trader, clock: MovedClock) -> Decimal:
    one.recover()
    cycles(one, clock, range(2))
    one.desk = replace(one.desk, platform=Altered(one.desk.platform, lambda quote: replace(quote, bid=None)))
    with one.desk.database.reading() as connections:
        newest = booking.newest_equity(connections.project, one.desk.agent_id)
    assert newest is not None
    assert newest["position_value"] > 0
    return Decimal(newest["equity"])


def test_24_a_bid_that_disappears_pauses_and_kills_nothing(database: Database) -> None:
    clock = MovedClock()
    with held_binary(database, clock) as one:
        before = begun(one, clock)
        assert readings(one, clock, [True, True]) == [False, False]
        assert state(database, one) == ("active", [])
        assert readings(one, clock, [True]) == [False]
        assert state(database, one) == ("paused", ["stale_marks"])
        words = rows(database, account.load, one.desk.agent_id)["trading_reason"]["stale_marks"]
        assert f"({ELECTION}:yes: of 2026-01-30 01:00 UTC)" in words
        newest = rows(database, booking.newest_equity, one.desk.agent_id)
        assert newest["stale"]
        assert abs(newest["equity"] - before) < before * D("0.02")  # no zero was taken for a price
        assert readings(one, clock, [True, False]) == [False, False]
        assert state(database, one) == ("active", [])
    assert rows(database, switch.of_account, "paper", "main") == []


def test_a_stale_reading_above_the_peak_neither_raises_it_nor_falls_below_nothing(database: Database) -> None:
    clock = MovedClock()
    with held_binary(database, clock) as one:
        begun(one, clock)
        clock.at += timedelta(minutes=1)
        peak = rows(database, account.load, one.desk.agent_id)["peak_equity"]
        high = {key: replace(mark, price=D(1), is_stale=True) for key, mark in valued(one.desk).items() if mark}
        with one.desk.step("test") as conn:
            write_equity(conn, one.desk, high, clock.now())
        newest = rows(database, booking.newest_equity, one.desk.agent_id)
    assert newest["equity"] > peak == newest["peak"]
    assert (newest["stale"], newest["drawdown"]) == (True, 0)


def test_three_old_readings_in_a_row_kill_where_that_was_asked_for(database: Database) -> None:
    clock = MovedClock()
    with held_binary(database, clock, stale_action="kill") as one:
        begun(one, clock)
        # Two, and two more after a good one, are not three in a row.
        assert readings(one, clock, [True, True, False, True, True, False]) == [False] * 6
        assert state(database, one) == ("active", [])
        assert readings(one, clock, [True, True, True]) == [False, False, True]
    (kill,) = rows(database, switch.of_account, "paper", "main")
    assert kill["cause"] == ["STALE_MARKS"]
    assert (kill["limit_value"], kill["measured"]) == (3, 3)


def test_a_release_that_cannot_be_read_opens_nothing_and_ends_nothing(database: Database) -> None:
    """The one before goes on to be what exits go by; the next that can be read ends it."""
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0] * 12}, {MARKET: {0: 1, 4: 1, 5: 1}})
    with trader(database, feed, clock) as one:
        one.recover()
        cycles(one, clock, range(2))
        damaged = LakeError("cannot read partition 'bars/2026'", where="a file", fix="`agent run` makes it again")

        def refuse() -> None:
            raise damaged

        feed.refresh = refuse  # type: ignore[method-assign]
        done = cycles(one, clock, range(2, 5))
        assert [(each.sent, each.refused) for each in done] == [(1, 0), (0, 0), (0, 1)]  # it closes, and enters no more
        assert state(database, one) == ("reducing", ["release_unreadable"])
        words = rows(database, account.load, one.desk.agent_id)["trading_reason"]["release_unreadable"]
        assert words == "the current release cannot be read (cannot read partition 'bars/2026'); exits go by scripted"
        del feed.refresh
        assert cycles(one, clock, (5,))[0].sent == 1
        assert state(database, one) == ("active", [])


def test_a_release_that_is_too_old_holds_back_until_the_next_one(database: Database) -> None:
    """Two bars of an hour and 900 s: what closes still goes out, and a new release ends it."""
    clock = MovedClock()
    with trader(database, live_feed(2), clock, take_profit=0.5) as one:
        one.recover()
        cycles(one, clock, (0, 1))
        clock.at = START + 3 * HOUR + timedelta(seconds=900)
        one.look()
        assert state(database, one) == ("active", [])
        clock.at += timedelta(seconds=1)
        one.look()
        assert state(database, one) == ("reducing", ["release_too_old"])
        row = rows(database, account.load, one.desk.agent_id)
        assert "it knows nothing after 2026-01-30 01:00 UTC" in row["trading_reason"]["release_too_old"]
    with trader(database, live_feed(4), clock) as one:
        one.recover()
        one.look()
        assert state(database, one) == ("active", [])


def test_historical_data_is_never_too_old(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: [100.0] * 3}, {MARKET: {}}), clock) as one:
        one.recover()
        clock.at = START + 500 * HOUR
        one.look()
        assert state(database, one) == ("active", [])
