"""A process that dies at each commit of an order: the next start finds what is there, and sends nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking, deciding, orders
from agent.trading.platform import Refused, Unclear
from tests.paper import HOUR, MARKET, START, D, MovedClock, cycles, feed_of, trader

RISING = [100.0, 100.0, 110.0, 120.0, 130.0, 140.0]
HELD = {MARKET: dict.fromkeys(range(6), 1)}
EXECUTE = "agent.trading.steps.execute."


class Killed(BaseException):
    """The process is gone at this point."""


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def dying(*_: Any, **__: Any) -> Any:
    raise Killed


def after(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call happens, and nobody learns of it."""

    def made(*arguments: Any, **named: Any) -> Any:
        call(*arguments, **named)
        raise Killed

    return made


def crash(database: Database, monkeypatch: pytest.MonkeyPatch, where: str, how: Any) -> tuple[MovedClock, Any]:
    """A first cycle that dies where `how` says, and a clock an hour later."""
    clock, feed = MovedClock(), feed_of({MARKET: RISING}, HELD)
    with trader(database, feed, clock) as one, monkeypatch.context() as patched:
        one.recover()
        if where == "submit":
            patched.setattr(one.desk.platform, where, how(one.desk.platform.submit) if how is after else how)
        else:
            patched.setattr(EXECUTE + where, how)
        with pytest.raises(Killed):
            cycles(one, clock, (0,))
    clock.at = START + HOUR
    return clock, feed


@pytest.mark.parametrize(
    ("where", "how", "found"),
    [
        ("_begin", dying, "abandoned"),  # after T6: certainly not sent
        ("submit", dying, "not_placed"),  # after T7, before a byte
        ("submit", after, "filled"),  # after the bytes, before T8
        ("book_fill", dying, "filled"),  # acknowledged, its fill not booked
    ],
)
def test_30_a_restart_finds_what_is_there(
    database: Database, monkeypatch: pytest.MonkeyPatch, where: str, how: Any, found: str
) -> None:
    if where == "book_fill":
        clock, feed = MovedClock(), feed_of({MARKET: RISING}, HELD)
        with trader(database, feed, clock) as one, monkeypatch.context() as patched:
            one.recover()
            cycles(one, clock, (0,))
            patched.setattr(EXECUTE + "book_fill", dying)
            with pytest.raises(Killed):
                cycles(one, clock, (1,))
    else:
        clock, feed = crash(database, monkeypatch, where, how)
    with trader(database, feed, clock) as one:
        one.recover()
        agent = one.desk.agent_id
        before = [rows(database, read, agent) for read in (orders.of_agent, booking.discrepancies_of)]
        assert [each["status"] for each in before[0]] == [found]
        one.recover()
        assert [rows(database, read, agent) for read in (orders.of_agent, booking.discrepancies_of)] == before
        cycles(one, clock, (1, 2))
        filled = [each for each in rows(database, orders.of_agent, agent) if each["status"] == "filled"]
        assert len(filled) == 1
        snapshot = one.desk.platform.snapshot((), None)
    position = rows(database, booking.positions_of, agent)[0]
    assert snapshot.holdings is not None
    assert snapshot.holdings[MARKET, ""].quantity == position["quantity"]
    assert rows(database, booking.newest_equity, agent)["cash"] == snapshot.cash


def test_a_decision_that_was_not_sent_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, feed = MovedClock(), feed_of({MARKET: RISING}, HELD)
    with trader(database, feed, clock) as one, monkeypatch.context() as patched:
        one.recover()
        patched.setattr("agent.trading.steps.cycle.place", dying)
        with pytest.raises(Killed):
            cycles(one, clock, (0,))
    with trader(database, feed, clock) as one:
        one.recover()
        found = rows(database, deciding.decisions_of, one.desk.agent_id, MARKET, 10)
    assert [(each["cycle"], each["status"]) for each in found] == [(1, "abandoned")]


def test_an_unclear_answer_is_asked_about_and_never_sent_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, feed, sent = MovedClock(), feed_of({MARKET: RISING}, HELD), list[Any]()
    with trader(database, feed, clock) as one:
        one.recover()
        submit = one.desk.platform.submit

        def unclear(order: Any) -> Unclear:
            sent.append(submit(order))
            return Unclear("reset after placement")

        monkeypatch.setattr(one.desk.platform, "submit", unclear)
        cycles(one, clock, (0,))
        agent = one.desk.agent_id
        assert rows(database, orders.of_agent, agent)[0]["status"] == "unknown"
        cycles(one, clock, (1,))
        assert [each["status"] for each in rows(database, orders.of_agent, agent)] == ["filled"]
    assert len(sent) == 1


def test_a_refusal_is_final_and_leaves_the_position_flat(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, feed = MovedClock(), feed_of({MARKET: RISING}, HELD)
    with trader(database, feed, clock) as one:
        one.recover()
        monkeypatch.setattr(one.desk.platform, "submit", lambda _: Refused("funds", "not enough"))
        cycles(one, clock, (0,))
        agent = one.desk.agent_id
    found = rows(database, orders.of_agent, agent)[0]
    assert (found["status"], found["reject_code"]) == ("rejected", "funds")
    position = rows(database, booking.positions_of, agent)[0]
    assert (position["state"], position["quantity"]) == ("flat", D(0))
