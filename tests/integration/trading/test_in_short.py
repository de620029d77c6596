"""At work the last day is compared each minute, all there ever was once a day, and wherever the last day shows a
difference."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pytest

from agent.store.database.engine import Database, writing
from agent.store.trading import booking, paper
from agent.trading.reconcile.facts import Books, Snapshot
from agent.trading.run import Trader
from agent.trading.steps import recover
from agent.trading.steps.execute import LISTED_LATE
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought, foreign
from tests.integration.trading.test_reconciling import HELD, holding
from tests.paper import HOUR, MARKET, START, D, MovedClock, cycles, feed_of, trader
from tests.venue import Floor, floor

MINUTE = 60.0
DAY = 86_400.0


@pytest.fixture
def wholes(monkeypatch: pytest.MonkeyPatch) -> list[Books]:
    """The books that were made from all there ever was."""
    made: list[Books] = []
    books_of = recover.books_of

    def noted(conn: Any, desk: Any) -> Books:
        made.append(books_of(conn, desk))
        return made[-1]

    monkeypatch.setattr(recover, "books_of", noted)
    return made


def noted_snapshots(one: Trader) -> list[datetime | None]:
    """Since when the platform is asked for everything, from now on."""
    asked: list[datetime | None] = []
    ask = one.desk.platform.snapshot

    def noted(its: Collection[str], since: datetime | None) -> Snapshot:
        asked.append(since)
        return ask(its, since)

    one.desk.platform.snapshot = noted  # type: ignore[method-assign]
    return asked


def test_a_quiet_minute_looks_at_the_last_day_alone(database: Database, wholes: list[Books]) -> None:
    with floor(database) as at, holding(at) as one:
        at.wait(3 * DAY)
        one.look()
        wholes.clear()
        asked = noted_snapshots(one)
        for _ in range(3):
            at.wait(MINUTE)
            one.look()
            assert asked[-1] == at.clock.at - LISTED_LATE
        assert (wholes, len(asked)) == ([], 3)
        at.wait(DAY)
        one.look()
        assert len(wholes) == 1, "once a day, and nothing was to be done"


def test_an_order_that_rests_is_looked_back_to(database: Database, wholes: list[Books]) -> None:
    with floor(database) as at:
        at.venue.part = D("0.5")
        bought(at, **NO_CLOSING)
        at.wait(MINUTE)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            wholes.clear()
            for _ in range(5):
                at.wait(DAY / 4)
                one.compare()
            assert len(wholes) == 1, "the day's"
            at.venue.fill(at.orders()[0]["client_order_id"])
            at.wait(MINUTE)
            one.compare()
            assert (len(wholes), at.statuses()) == (1, ["filled"])
        at.require_agreement()


@pytest.mark.parametrize("what", ["fill", "late fill", "position", "cash", "deposit", "order", "old fill"])
def test_a_difference_of_the_last_day_is_put_right_at_once(database: Database, wholes: list[Books], what: str) -> None:
    with floor(database) as at, holding(at) as one:
        at.wait(2 * DAY)
        one.compare()
        wholes.clear()
        its = at.orders()[0]["client_order_id"]
        expected = {"fill": "external_fill", "late fill": "overfill", "position": "mismatch", "cash": "cash_rounding"}
        if what == "fill":
            at.venue.place(foreign("other-1", "1"))
        elif what == "late fill":
            at.venue.fill(its, D(1))
        elif what == "position":
            at.venue.holdings[MARKET, ""] += D("0.5")
        elif what == "cash":
            at.venue.cash -= 1
        elif what == "deposit":
            at.venue.deposit("d1", D(500))
        elif what == "order":
            at.venue.find(its).status = "open"  # type: ignore[union-attr]  # it was placed
        elif what == "old fill":
            at.venue.fill(its, D(1))
            at.venue.fills[-1]["ts"] = (at.clock.at - timedelta(days=1.5)).isoformat()
            expected[what] = "overfill"
        at.wait(MINUTE)
        one.compare()
        if what == "deposit":
            assert wholes == [], "it was followed"
            at.require_agreement()
        elif what == "order":
            assert wholes != []
            assert "unexpected_event" in at.agent()["trading_reason"]
        else:
            assert wholes != []
            assert expected[what] in at.kinds()


def test_the_rows_say_what_all_fills_come_to(database: Database) -> None:
    """Else each minute would have a reason to compare all."""
    with floor(database, enters=range(9)) as at, holding(at) as one:
        for number in range(2, 8):
            at.hour(number)
            at.venue.deposit(f"d{number}", D(10 * number))
            at.venue.place(foreign(f"other-{number}", str(number)))
            at.wait(MINUTE)
            one.compare()
        require_same(at, one)


def require_same(at: Floor, one: Trader) -> None:
    with at.database.reading() as connections:
        conn = connections.project
        whole = recover.books_of(conn, one.desk)
        since, opened = START - HOUR, whole.opened_at
        assert opened is not None
        short = recover.recent_books_of(conn, one.desk, one.desk.platform.snapshot((), since), since, opened)
    assert (short.holdings, short.cash, short.equity) == (whole.holdings, whole.cash, whole.equity)
    assert short.holdings[MARKET, ""].quantity > HELD
    assert sorted(one.fill_id for one in short.fills) == sorted(one.fill_id for one in whole.fills)
    assert set(short.movements) <= set(whole.movements)


def test_on_paper_too(database: Database, wholes: list[Books]) -> None:
    clock, feed = MovedClock(), feed_of({MARKET: [100.0] * 40}, {MARKET: dict.fromkeys(range(0, 40, 4), 1)})
    with trader(database, feed, clock) as one:
        one.recover()
        wholes.clear()
        for hour in range(23):
            cycles(one, clock, [hour])
            one.look()
        assert wholes == []
        assert len(one.desk.platform.fills(None)) > 6
        with writing(database.project) as conn:
            paper.put_balance(conn, "main", paper.CASH, D(9_000))
        clock.at += timedelta(minutes=1)
        one.compare()
        assert len(wholes) == 1, "a balance that is wrong is a difference; all fills say that there is none"


def test_fills_are_found_by_many_ids(database: Database) -> None:
    with floor(database) as at, holding(at) as one:
        held = one.desk.held
        names = {f"f{number}" for number in range(20_000)}
        found = at.rows(booking.fills_named, held.platform, held.account_ref, names)
        assert [row["platform_fill_id"] for row in found] == ["f1"]
        assert at.rows(booking.fills_named, held.platform, "another", names) == []
        assert at.rows(booking.fills_named, held.platform, held.account_ref, ()) == []
