"""The books of an account end at a person's word, once nothing is left in them; the next start begins new ones."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agent import identity
from agent.errors import AgentError, Busy, Conflict, LeaseLost, UsageError
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import account, booking, deciding, orders, showing
from agent.trading import person
from agent.trading.feeds.columns import TableFeed
from agent.trading.kill_switch import Cause, Fired, KillState
from agent.trading.ledger import rebuilt
from agent.trading.model import movement_of
from agent.trading.run import Trader
from agent.trading.steps.desk import fill_of
from agent.trading.steps.firing import trigger
from tests.integration.trading.test_at_a_venue import NO_CLOSING, foreign
from tests.paper import HOUR, MARKET, START, D, MovedClock, cycles, feed_of, listing, tables_of, trader
from tests.venue import Floor, floor

DAY = timedelta(days=1)
# Bought at 100, sold at 120; bought again at 140, sold at 160.
FEED = feed_of({MARKET: [100.0, 100.0, 110.0, 120.0, 130.0, 140.0, 150.0, 160.0, 160.0, 160.0]}, {MARKET: {0: 1, 4: 1}})


def retired(database: Database, reason: str = "enough") -> showing.Row:
    with writing(database.project) as conn:
        return person.retire(conn, showing.agent_of(conn, "main"), reason=reason, by="me", owner=identity.own())


def read(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def now_of(database: Database) -> showing.Row:
    found: showing.Row = read(database, showing.agent_of, "main")
    return found


def listed(database: Database, name: str) -> list[showing.Row]:
    its = now_of(database)
    found: list[showing.Row] = read(database, lambda conn: showing.listed(name, conn, its, showing.Wanted()))
    return found


def traded(database: Database, hours: Any, clock: MovedClock, **settings: Any) -> int:
    """A process of its own; returns its agent's id."""
    with trader(database, FEED, clock, **settings) as one:
        one.recover()
        cycles(one, clock, hours)
        return one.desk.agent_id


def test_an_account_that_was_never_retired_keeps_its_books_when_the_clock_goes_back(database: Database) -> None:
    """Other data, older ones: what is traded then has earlier times than all that is booked."""
    first = traded(database, range(4), MovedClock())
    older, before = MovedClock(START - 90 * DAY), len(listed(database, "fills"))
    tables = tables_of({MARKET: [100.0] * 9}, {MARKET: {0: 1}})
    moved = replace(
        tables.bars[MARKET],
        starts=[one - 90 * DAY for one in tables.bars[MARKET].starts],
        ends=[one - 90 * DAY for one in tables.bars[MARKET].ends],
    )
    said = [replace(one, ts=one.ts - 90 * DAY) for one in tables.said[MARKET]]
    with trader(database, TableFeed(replace(tables, bars={MARKET: moved}, said={MARKET: said})), older) as one:
        one.recover()
        for hour in range(5):
            older.at = START - 90 * DAY + HOUR * hour
            one.process_cycle()
        one.compare()
        assert one.desk.agent_id == first
    assert len(listed(database, "fills")) > before
    assert now_of(database)["trading_state"] == "active"
    require_balance(database)


def require_balance(database: Database) -> None:
    """What the tables of the account's agent say follows from its fills and its cash alone."""
    its = now_of(database)
    fills = [fill_of(row) for row in read(database, booking.fills_of, *read(database, showing.books_of, its))]
    cash = [movement_of(row) for row in read(database, booking.movements_of, *read(database, showing.books_of, its))]
    books = rebuilt(fills, cash)
    assert books.cash == read(database, booking.newest_equity, its["id"])["cash"]
    rows = read(database, booking.positions_of, its["id"])
    assert [(one["quantity"], one["realized"], one["fees"]) for one in rows] == [
        (line.quantity, line.realized, line.fees) for _, line in sorted(books.lines.items())
    ]
    assert sum(one["pnl"] for one in read(database, booking.trades_of, its["id"])) == sum(
        one["realized"] for one in rows
    )


def test_the_next_start_begins_new_books_measured_from_what_there_is(database: Database) -> None:
    clock = MovedClock()
    first = traded(database, range(4), clock)
    answer = retired(database)
    assert (answer["retired"], answer["platform"]) == ("main", "paper")

    second = traded(database, range(4, 9), clock)
    assert second == first + 1
    row = now_of(database)
    assert (row["id"], row["ended_at"], row["cycle"]) == (second, None, 5)
    assert (row["initial_equity"], row["trading_state"], row["trading_reason"]) == (D(10_600), "active", None)
    assert row["peak_equity"] > D(10_600)
    assert [one["entry"] for one in read(database, booking.trades_of, second)] == [D(140)]
    assert [one["entry"] for one in read(database, booking.trades_of, first)] == [D(100)]
    assert [one["kind"] for one in read(database, booking.discrepancies_of, second)] == ["opening"]
    assert len(listed(database, "fills")) == 2
    require_balance(database)
    with trader(database, FEED, clock) as one:  # and it goes on with them
        one.recover()
        assert one.desk.agent_id == second
    require_balance(database)


def test_where_time_stands_still_new_books_begin_after_the_old_ones(database: Database) -> None:
    """With historical data every process sees the same time until a run brings a bar."""
    clock = MovedClock()
    numbers = []
    for _ in range(3):
        numbers.append(traded(database, (1,), clock))
        retired(database)
    assert numbers == [1, 2, 3]
    traded(database, range(4, 6), clock)
    require_balance(database)
    (opening,) = read(database, booking.movements_of, *read(database, showing.books_of, now_of(database)))
    assert (opening["external_id"], opening["amount"]) == ("opening:4", D(10_000))
    assert opening["ts"] == START + HOUR + 2 * timedelta(microseconds=1)


def test_what_is_late_is_booked_by_the_new_books_alone(database: Database) -> None:
    """A fill of the retired agent's order, which the venue executes after all: nobody's, and no second time."""
    with floor(database, enters=(0,)) as at:
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            one.process_cycle()
            (order,) = at.orders()
            at.wait(60.0)
            at.venue.place(foreign("sold", "0") | {"side": "sell", "quantity": str(at.position()["quantity"])})
            at.wait(60.0)
            one.compare()
        retired(database)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            at.wait(60.0)
            at.venue.fill(order["client_order_id"], D(1))
            at.wait(60.0)
            one.compare()
            at.wait(60.0)
            assert one.desk.agent_id == 2
        late = read(database, booking.fills_of, *read(database, showing.books_of, now_of(database)))
        assert [(fill["quantity"], fill["client_order_id"]) for fill in late] == [(D(1), None)]
        assert at.position()["quantity"] == D(1)
        assert at.rows(booking.newest_equity, 2)["cash"] == at.venue.cash


def test_reads_go_on_and_changes_are_refused(database: Database) -> None:
    traded(database, range(4), MovedClock())
    retired(database)
    its = now_of(database)
    assert read(database, showing.status, its)["ended_at"] == its["ended_at"]
    said = read(database, showing.portfolio, its)
    assert said["ended_at"] == its["ended_at"]
    assert (said["trading_state"], said["reasons"], said["equity"]) == (
        "halted",
        {"retired": "retired by me: enough"},
        D(10_600),
    )
    assert [one["pnl"] for one in listed(database, "trades")] == [D(600)]
    assert len(listed(database, "fills")) == 2
    require_balance(database)
    with writing(database.project) as conn:
        now = database_now(conn)
        for change in (
            lambda: person.pause(conn, its, "x"),
            lambda: person.resume(conn, its),
            lambda: person.delete_lock(conn, its, 1, "me"),
            lambda: person.accept(conn, its, ["x"], "me", now),
            lambda: person.adopt(conn, its, "me", now),
            lambda: person.reset(conn, its, reason="x", by="me", now=now),
            lambda: person.retire(conn, its, reason="x", by="me", owner=identity.own()),
        ):
            with pytest.raises(Conflict, match="account main was retired at"):
                change()


def test_what_is_held_or_rests_keeps_it_and_says_what_ends_it(database: Database) -> None:
    clock = MovedClock()
    traded(database, (), clock)
    with pytest.raises(UsageError, match="needs a reason"):
        retired(database, " ")
    traded(database, (0,), clock)  # it rests until the next bar
    with pytest.raises(Conflict, match=rf"order tm\w+ in {MARKET} is open") as error:
        retired(database)
    assert "agent kill-switch trigger" in error.value.fix
    traded(database, (1,), clock)
    with pytest.raises(Conflict, match=f"30 of {MARKET} is held") as error:
        retired(database)
    assert "agent run-agent --once --on-exit close" in error.value.fix
    assert now_of(database)["ended_at"] is None


@pytest.mark.parametrize("state", ["prepared", "sending", "unknown", "cancelling"])
def test_an_order_of_which_something_may_come_keeps_it(database: Database, state: str) -> None:
    clock = MovedClock()
    traded(database, range(4), clock)
    (its, *_) = read(database, orders.of_agent, 1)
    with writing(database.project) as conn:
        orders.move(conn, its["client_order_id"], "x", state, clock.at, "send", {})
    with pytest.raises(Conflict, match=f"is {state}") as error:
        retired(database)
    assert "asks the platform" in error.value.fix


@pytest.mark.parametrize(
    ("state", "says"), [("flat", "agent kill-switch reset"), ("stuck", "start the trader"), ("closing", "start the")]
)
def test_a_kill_that_nobody_reset_keeps_it(database: Database, state: str, says: str) -> None:
    clock = MovedClock()
    with trader(database, FEED, clock) as one:
        one.recover()
        with one.desk.step("killed") as conn:
            trigger(conn, one.desk, Fired(Cause.PERSON), clock.at, by="me")
            kill = account.standing_kill(conn, "paper", "main")
            assert kill is not None
            switch_to(conn, kill["id"], state)
    with pytest.raises(Conflict, match=f"the kill switch is {state}") as error:
        retired(database)
    assert error.value.fix.startswith(says)


def switch_to(conn: Any, kill_id: str, state: str) -> None:
    from agent.store.trading import switch

    switch.change(conn, kill_id, state=str(KillState(state)))


def test_a_trader_at_work_keeps_it_and_one_that_overslept_writes_nothing_any_more(database: Database) -> None:
    clock = MovedClock()
    with trader(database, FEED, clock) as one:
        one.recover()
        with pytest.raises(Busy, match="account of agent 1 is traded by") as busy:
            retired(database)
        assert busy.value.exit_code == 3
        overslept(database, one)
        retired(database)
        with pytest.raises(LeaseLost):
            one.process_cycle()
    assert read(database, deciding.decisions_of, 1, None, None) == []


def overslept(database: Database, one: Trader) -> None:
    """Its lease ended, and it does not know."""
    one._keeper.stop()
    with writing(database.project) as conn:
        account.update(conn, one.desk.agent_id, lease_expires_at=database_now(conn) - timedelta(seconds=1))


def test_dust_keeps_nobody_and_is_listed_by_the_next_start(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too small to be sold, and somebody's: it is taken over at a person's word, as all that an account has is. It is
    dust from then on: nothing ever closes it."""
    least = replace(listing(MARKET).instrument, min_quantity=D("0.001"))
    monkeypatch.setattr("tests.venue.instrument", lambda _: least)
    with floor(database) as at:
        left = dusty(at)
        retired(database)
        with at.trader(**NO_CLOSING) as one, pytest.raises(AgentError, match=r"held 0\.0001 of it before"):
            one.recover()
        with writing(database.project) as conn:
            person.adopt(conn, showing.agent_of(conn, "main"), "me", database_now(conn))
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        assert (at.position()["quantity"], at.position()["state"], at.agent()["id"]) == (left, "dust", 2)
        retired(database)


def dusty(at: Floor) -> Decimal:
    """A position whose rest is below what the venue takes an order for."""
    with at.trader(**NO_CLOSING) as one:
        one.recover()
    left = D("0.0001")
    at.venue.holdings[MARKET, ""] = left
    its = at.agent()["id"]
    values = {"agent_id": its, "market_id": MARKET, "outcome": "", "quantity": left, "average_price": D(100)}
    more = {"realized": D(0), "fees": D(0), "opened_at": START, "state": "dust", "updated_at": START}
    with writing(at.database.project) as conn:
        booking.put_position(conn, values | more)
    return left


def test_a_start_that_meets_a_retirement_begins_new_books(database: Database) -> None:
    clock, found = MovedClock(), list[int]()
    traded(database, (), clock)
    start = threading.Thread(target=lambda: found.append(traded(database, (), clock)))
    with writing(database.project) as conn:
        person.retire(conn, now_of(database), reason="x", by="me", owner=identity.own())
        start.start()
        wait_until_it_waits(database)
    start.join(30)
    assert found == [2]


def wait_until_it_waits(database: Database) -> None:
    """Until a transaction waits for the one that retires. SQLite lets nobody else begin to write meanwhile."""
    ends = time.monotonic() + 20
    while database.project.dialect.name == "postgresql" and time.monotonic() < ends:
        with database.reading() as connections:
            if connections.project.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
                return
        time.sleep(0.01)
