"""What people are told of a trader: once a cause, until it is over; and once what a day came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agent.runtime.alerts import Cause
from agent.store.database.engine import Database
from agent.store.trading import account, booking
from agent.trading.measures.slippage import Paid
from agent.trading.run import Trader, run
from agent.trading.states.permissions import Reason
from agent.trading.steps.desk import state_by
from agent.trading.steps.telling import STUCK_AGAIN, SUMMARY_AT, UNKNOWN_AFTER, causes_of, news_of, paid_since
from tests.paper import HOUR, MARKET, START, D, MovedClock, cycles, feed_of, trader

NAME = "main on paper"
UNCLEAR = {"client_order_id": "tm1", "market_id": "m", "status_at": START}


def test_each_reason_is_a_cause_and_what_a_person_wanted_is_none() -> None:
    reasons = {str(one): f"words of {one}" for one in Reason}
    present, over = causes_of(NAME, reasons, [], None, [], START)
    silent = {"person", "monitor", "resumed", "retired"}
    assert {one.key for one in present} == {f"trader/{one} of {NAME}" for one in set(reasons) - silent}
    assert over == [f"trader/{one} of {NAME}" for one in ("unknown order", "stuck", "slippage")]
    (kill,) = [one for one in present if one.key == f"trader/kill of {NAME}"]
    assert (kill.title, kill.text, kill.period) == (f"Tidemill: trader of {NAME}: kill", "words of kill", None)
    assert len(causes_of(NAME, {}, [], None, [], START)[1]) == len(reasons) - len(silent) + 3


def test_an_order_is_unknown_for_a_minute_before_it_is_told() -> None:
    assert causes_of(NAME, {}, [UNCLEAR], None, [], START + UNKNOWN_AFTER - timedelta(seconds=1))[0] == []
    (told,) = causes_of(NAME, {}, [UNCLEAR], None, [], START + UNKNOWN_AFTER)[0]
    assert "tm1 in m" in told.text


def test_a_kill_that_is_stuck_is_told_again_and_again() -> None:
    stuck = {"state": "stuck", "stuck": [{"market": "m", "outcome": "", "why": "the market is closed"}]}
    (told,) = causes_of(NAME, {}, [], stuck, [], START)[0]
    assert (told.period, told.text) == (STUCK_AGAIN, "the kill switch cannot close everything: m: the market is closed")
    assert causes_of(NAME, {}, [], {"state": "closing", "stuck": None}, [], START)[0] == []


def held(database: Database, one: Trader, reason: Reason, words: str | None) -> None:
    with one.desk.step("test") as conn:
        account.set_reason(conn, one.desk.agent_id, str(reason), words, state_by)


def test_a_day_is_summed_up_once_it_is_over(database: Database) -> None:
    """Bought at 100 on the first day, sold at 110 on it; the second day's first minutes come too early."""
    clock = MovedClock()
    opens = [100.0] * 3 + [110.0] * 40
    with trader(database, feed_of({MARKET: opens}, {MARKET: {0: 1}}), clock) as one:
        one.recover()
        cycles(one, clock, range(6))
        midnight = START + HOUR * 24
        clock.at = midnight + SUMMARY_AT - timedelta(seconds=1)
        assert news_of(one.desk)[0] == []
        clock.at = midnight + SUMMARY_AT
        (told,) = news_of(one.desk)[0]
        assert told.key == f"day/2026-01-30 of {NAME}"
        assert told.text == (
            "Equity 10,000.00 -> 10,300.00: 300.00 made, 0.00 paid in or out. 2 orders sent, 1 round trips closed with "
            "300.00 after fees. Fills cost 0.00 beside the mid, 0.00 expected. Refused: nothing."
        )
        clock.at = midnight + HOUR * 24 + SUMMARY_AT
        assert news_of(one.desk)[0] == [], "nothing was measured on the day after"


def test_who_trades_tells_what_it_finds_and_what_is_over(database: Database) -> None:
    clock, told = MovedClock(), list[tuple[list[str], bool]]()

    def tells(present: Sequence[Cause], over: Sequence[str], now: datetime) -> None:
        key = f"trader/unreadable of {NAME}"
        told.append(([one.text for one in present], key in over))

    with trader(database, feed_of({MARKET: [100.0] * 9}, {}), clock) as made:
        start = made._start
    with Trader(replace(start, tells=tells)) as one:
        one.recover()
        held(database, one, Reason.UNREADABLE, "it does not answer")
        one.tell()
        held(database, one, Reason.UNREADABLE, None)
        assert run(one, wait=lambda _: True, told=lambda _: None, most_cycles=1) == 0
    assert told[0] == (["it does not answer"], False)
    assert told[-1] == ([], True)


def test_fills_that_cost_more_than_expected_are_told(database: Database) -> None:
    """Each entry fills a per cent above the price that was decided on; no costs are expected."""
    dear = [Paid(D(1), D(0), D(100))] * 10
    (told,) = causes_of(NAME, {}, [], None, dear, START)[0]
    assert "10.00 beside the mid, 0.00 expected" in told.text
    assert causes_of(NAME, {}, [], None, dear[:9], START)[0] == []
    clock = MovedClock()
    with trader(database, feed_of({MARKET: [100.0, 100.0, 101.0, 101.0, 101.0]}, {MARKET: {1: 1}}), clock) as one:
        one.recover()
        cycles(one, clock, range(5))
        with database.reading() as connections:
            (trade,) = booking.trades_of(connections.project, one.desk.agent_id)
            paid = paid_since(one.desk, connections.project, START)
        assert trade["slippage"] == sum(fill.cost for fill in paid)
        assert len(paid) == 2
