"""Books and platform are compared while the trader works: each minute of its clock, at once when a platform can be read
again, and by whoever has the turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.errors import DatabaseUnavailable
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import booking, paper, showing
from agent.trading import person
from agent.trading.monitor import LOOK_SECONDS
from agent.trading.run import Trader, run
from agent.trading.steps.execute import LISTED_LATE
from agent.trading.testing import Fault
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought, foreign
from tests.integration.trading.test_monitor import until
from tests.paper import HOUR, MARKET, START, D, MovedClock, feed_of, trader
from tests.venue import Floor, floor

HELD = D("29.97002997")  # 30 % of equity at 100.1


def holding(at: Floor, **settings: Any) -> Trader:
    """A trader at work that holds what it bought."""
    bought(at, **NO_CLOSING)
    at.wait(10.0)
    one = at.trader(**NO_CLOSING | settings)
    one.recover()
    return one


def test_after_a_minute_of_its_clock_and_not_before(database: Database) -> None:
    """An order of somebody else is bought: nothing that the trader follows by itself."""
    with floor(database) as at, holding(at) as one:
        at.venue.place(foreign("other-1", "1"))
        at.wait(59.0)
        assert not one.look()
        assert at.position()["quantity"] == HELD
        at.wait(1.0)
        assert not one.look()
        assert at.position()["quantity"] == HELD + 1
        at.require_agreement()
        asked = len(at.server.asked)
        one.look()
        assert len([path for _, path, _ in at.server.asked[asked:] if path == "/positions"]) == 0, "not again so soon"


def test_the_monitor_does_not_wait_for_its_next_look(database: Database) -> None:
    with floor(database) as at, holding(at, monitoring_frequency_seconds=1e5) as one:
        at.venue.place(foreign("other-1", "1"))
        with one.monitor():
            at.wait(60.0)
            until(lambda: at.position()["quantity"] == HELD + 1)
    assert LOOK_SECONDS <= 1.0


def test_with_time_that_stands_still_there_is_nothing_to_compare(database: Database) -> None:
    with floor(database) as at, holding(at) as one:
        asked = len(at.server.asked)
        for _ in range(3):
            one.look()
        assert "/positions" not in [path for _, path, _ in at.server.asked[asked:]]


def test_what_cannot_be_read_is_counted_and_read_again_at_once(database: Database) -> None:
    with floor(database) as at, holding(at) as one:
        at.server.faults.append(Fault("500", "GET", "/positions"))
        at.wait(60.0)
        for expected in ("active", "active", "reducing"):
            assert not one.look()
            assert at.agent()["trading_state"] == expected
        at.venue.place(foreign("other-1", "1"))
        at.wait(6.0)  # old enough to be compared
        at.server.faults.clear()
        one.look()
        assert at.agent()["trading_state"] == "active"
        assert at.position()["quantity"] == HELD + 1, "not a minute later: now that it can be read"


def test_what_cannot_be_read_keeps_no_stop_from_closing(database: Database) -> None:
    with floor(database) as at, holding(at, stop_loss=0.02) as one:
        at.server.faults.append(Fault("500", "GET", "/positions"))
        at.venue.quotes[MARKET] = (D(97), D("97.2"))
        at.wait(60.0)
        assert not any(one.look() for _ in range(2))
        assert [each["purpose"] for each in at.orders()] == ["open", "stop"]
        assert at.position()["quantity"] == D(0)


def accepted(database: Database, found: str) -> Any:
    with writing(database.project) as conn:
        return person.accept(conn, showing.agent_of(conn, "main"), [found], "me", database_now(conn))


def test_what_a_person_must_decide_opens_nothing_and_closes_nothing_of_it(database: Database) -> None:
    """At start it ends the trader; at work it goes on with what it is sure of, until the person has said."""
    with floor(database, enters=range(9)) as at, holding(at, stop_loss=0.02) as one:
        left = HELD - 20
        at.venue.holdings[MARKET, ""], at.venue.cash = left, at.venue.cash + 2000  # sold, and no fill says so
        at.wait(60.0)
        one.look()
        agent = at.agent()
        assert (agent["trading_state"], list(agent["trading_reason"])) == ("reducing", ["mismatch"])
        assert "agent reconcile" in agent["trading_reason"]["mismatch"]
        at.venue.quotes[MARKET] = (D(97), D("97.2"))
        one.look()
        stop = at.orders()[-1]
        assert (stop["purpose"], stop["status"]) == ("stop", "denied")
        assert "books and platform differ about it (mismatch)" in stop["reject_text"]
        assert at.venue.holdings[MARKET, ""] == left, "30 sold of 10 would have turned it round"
        (blocking,) = [row for row in at.rows(booking.discrepancies_of, agent["id"]) if row["resolution"] == "blocking"]
        accepted(database, blocking["id"])
        at.venue.quotes[MARKET] = (D("99.9"), D("100.1"))
        at.wait(60.0)
        one.look()
        assert (at.agent()["trading_state"], at.position()["quantity"]) == ("active", left)
        at.venue.quotes[MARKET] = (D(97), D("97.2"))
        for _ in range(2):
            one.look()
        assert at.orders()[-1]["status"] == "filled"
        assert at.venue.holdings[MARKET, ""] == D(0)


def test_flat_is_asked_for_twice_where_positions_may_lag(database: Database, tmp_path: Path) -> None:
    """The venue says once that nothing is held, and then that something is: a fill that came late."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        (tmp_path / "KILL").touch()
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            one.recover()
            assert one.process_cycle().is_killed
            states = [one.close_everything() for _ in range(6)]
            assert (states[-1], at.position()["quantity"]) == ("closing", D(0)), "one reading is not enough"
            waited = []

            def late(seconds: float) -> bool:
                waited.append(seconds)
                at.wait(1.0)
                at.venue.fill(at.venue.orders[0].client_order_id, D(1))
                at.wait(seconds)
                return True

            assert one.close_everything(late) == "closing"
            assert at.venue.holdings[MARKET, ""] == D(1)
            for _ in range(4):
                state = one.close_everything(at.wait)
            assert (state, at.venue.holdings[MARKET, ""]) == ("flat", D(0))
            assert waited == [5.0]
        at.require_agreement()


def test_two_agents_may_find_the_same_in_one_database(database: Database) -> None:
    """Two accounts of one venue name their orders and fills alike."""
    for name in ("first", "second"):
        with floor(database) as at:
            platform = at.platform()
            platform.account_ref = name
            with trader(database, at.feed, at.clock, platform=platform, account_ref=name, **NO_CLOSING) as one:
                one.recover()
                at.wait(10.0)
                at.venue.place(foreign("other-1", "1"))
                at.wait(60.0)
                one.compare()
                found = at.rows(booking.discrepancies_of, one.desk.agent_id)
        assert "external_fill" in [row["kind"] for row in found], name


# --- cash ----------------------------------------------------------------------------------------------------------


def test_only_newer_cash_is_asked_for_and_a_restart_asks_no_more(database: Database) -> None:
    clock, feed = MovedClock(), feed_of({MARKET: [100.0] * 99}, {MARKET: {}})
    asked: list[Any] = []

    def watched(one: Trader) -> None:
        movements = one.desk.platform.movements

        def noted(since: Any) -> Any:
            found = movements(since)
            asked.append((since, len(found)))
            return found

        one.desk.platform.movements = noted  # type: ignore[method-assign]

    def pay(number: int) -> None:
        with writing(database.project) as conn:
            row = {"external_id": f"d{number}", "kind": "deposit", "amount": D(1), "reason": "test", "ts": clock.at}
            paper.pay(conn, "main", row)

    with trader(database, feed, clock) as one:
        one.recover()
        for hour in range(1, 90, 3):
            clock.at = START + HOUR * hour
            pay(hour)
            one.look()
    for _ in range(2):
        with trader(database, feed, clock) as one:
            watched(one)
            one.recover()
            one.look()
    assert {since for since, _ in asked} == {clock.at - LISTED_LATE}
    assert {count for _, count in asked} == {9}, "of thirty, those of the last day"
    with database.reading() as connections:
        booked = booking.movements_of(connections.project, "paper", "main")
        newest = booking.newest_equity(connections.project, 1)
    assert len(booked) == 31
    assert newest is not None
    assert newest["cash"] == D(10_030)


def test_cash_that_is_listed_a_little_late_is_still_followed(database: Database) -> None:
    with floor(database) as at, holding(at) as one:
        at.venue.deposit("first", D(500))
        late = at.venue.movements.pop()
        at.wait(3600.0)
        at.venue.deposit("second", D(700))
        one.look()
        at.venue.movements.append(late)
        one.look()
        at.require_agreement()


# --- a loop that fails ---------------------------------------------------------------------------------------------


def test_after_a_cycle_that_failed_as_a_whole_it_backs_off(database: Database) -> None:
    waited: list[float] = []
    settings = {"main_loop_error_backoff_seconds": 7.0, "monitoring_frequency_seconds": 1e5}

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return True

    with floor(database) as at, at.trader(**NO_CLOSING | settings) as one:
        at.server.faults.append(Fault("503", "GET", "/quotes"))
        assert run(one, wait=wait, told=lambda _: None, most_cycles=2) == 0
        assert waited == [2.0, 4.0, 8.0, 7.0, 2.0, 4.0, 8.0]
        waited.clear()
        at.server.faults.clear()
        assert run(one, wait=wait, told=lambda _: None, most_cycles=2) == 0
        assert waited == [300.0]


def test_a_database_that_is_away_for_a_while_ends_no_trader(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told, waited = MovedClock(), list[str](), list[float]()
    with trader(
        database, feed_of({MARKET: [100.0] * 9}, {MARKET: {}}), clock, main_loop_error_backoff_seconds=7.0
    ) as one:
        away = iter([True, False])
        cycle = Trader.process_cycle

        def sometimes(self: Trader, **more: Any) -> Any:
            if next(away):
                raise DatabaseUnavailable("the server is restarting", where="here", fix="try again")
            return cycle(self, **more)

        monkeypatch.setattr(Trader, "process_cycle", sometimes)

        def wait(seconds: float) -> bool:
            waited.append(seconds)
            return True

        assert run(one, wait=wait, told=told.append, most_cycles=2) == 0
    assert told[0] == "No cycle: the server is restarting; try again."
    assert told[1].startswith("Cycle 1")
    assert waited == [7.0]
