"""Books and platform differ beyond what is put right alone: nothing is traded until a person says who is right."""

from __future__ import annotations

import pytest

from agent.errors import AgentError, Conflict, NotFound
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import account, booking, paper, showing
from agent.trading import person
from agent.trading.states.orders import OrderEvent
from agent.trading.steps.booking import next_status
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought
from tests.paper import HOUR, MARKET, START, D, MovedClock, cycles, feed_of, trader
from tests.venue import floor


def accepted(database: Database, *ids: str) -> showing.Row:
    with writing(database.project) as conn:
        return person.accept(conn, showing.agent_of(conn, "main"), ids, "me", database_now(conn))


def test_what_is_booked_holds_back_until_a_person_has_looked(database: Database) -> None:
    """An overfill, and an answer that nothing leads to: each has its own word, and the last one lets it go on."""
    with floor(database, dust=D("0.001")) as at:
        at.venue.part = D(0)
        bought(at, **NO_CLOSING)
        (order,) = at.venue.orders
        at.venue.fill(order.client_order_id, order.quantity + D(1))
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            row = at.orders()[0]
            with one.desk.step("test") as conn:
                next_status(conn, one.desk, row, OrderEvent.REFUSED, at.clock.now())
        held = at.agent()["trading_reason"]
        found = {one["kind"]: one["id"] for one in at.rows(booking.discrepancies_of, 1)}
        for kind in ("overfill", "unexpected_event"):
            assert held[kind].endswith(f"once you have looked: `agent reconcile --accept {found[kind]}`")
        assert accepted(database, found["overfill"])["trading_state"] == "reducing"
        assert list(at.agent()["trading_reason"]) == ["unexpected_event"]
        with pytest.raises(Conflict, match="does not block: by_person"):
            accepted(database, found["overfill"])
        assert accepted(database, found["unexpected_event"])["trading_state"] == "active"
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        assert at.agent()["trading_state"] == "active"
        at.require_agreement()


def rows(database: Database) -> list[showing.Row]:
    with database.reading() as connections:
        return booking.discrepancies_of(connections.project, 1)


def test_what_blocks_is_accepted_by_a_person_and_booked_once(database: Database) -> None:
    clock, feed = MovedClock(), feed_of({MARKET: [100.0] * 8}, {MARKET: {0: 1}})
    with trader(database, feed, clock) as one:
        one.recover()
        cycles(one, clock, range(2))
    fill = {"fill_id": "older", "client_order_id": "nobody", "market_id": MARKET, "outcome": "", "side": "buy"}
    with writing(database.project) as conn:  # before the books began: no fill that is listed explains it
        paid = {"quantity": D(20), "price": D(100), "fee": D(0), "ts": START - HOUR}
        paper.add_fill(conn, "main", fill | paid)
    for _ in range(2):
        with trader(database, feed, clock) as one, pytest.raises(AgentError, match="agent reconcile --accept"):
            one.recover()
    opening, blocking = rows(database)
    assert (blocking["kind"], blocking["resolution"], blocking["resolved_at"]) == ("mismatch", "blocking", None)
    with pytest.raises(Conflict, match="does not block"):
        accepted(database, blocking["id"], opening["id"])
    with pytest.raises(NotFound, match="no difference x"):
        accepted(database, "x")
    assert accepted(database, blocking["id"]) == {"accepted": [blocking["id"]], "trading_state": "active"}
    assert rows(database)[1]["note"].startswith("accepted by me")
    for _ in range(2):
        with trader(database, feed, clock) as one:
            one.recover()
    with database.reading() as connections:
        conn = connections.project
        assert booking.positions_of(conn, 1)[0]["quantity"] == D(50)
        assert booking.newest_equity(conn, 1)["cash"] == D(5000)  # type: ignore[index]  # it was measured
        assert account.load(conn, 1)["trading_state"] == "active"
        assert len([one for one in booking.fills_of(conn, "paper", "main") if one["inferred"]]) == 1
    assert [one["resolution"] for one in rows(database)] == ["corrected", "by_person"]
