"""New books at an account that has something: it is listed, and nothing is taken over before a person says so."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import AgentError, Conflict
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import booking, deciding, showing
from agent.trading import person
from tests.integration.trading.test_at_a_venue import NO_CLOSING, foreign
from tests.paper import MARKET, D
from tests.venue import Floor, floor

OURS, THEIRS = "tm" + "a" * 16, "other-1"


def adopted(at: Floor) -> showing.Row:
    with writing(at.database.project) as conn:
        return person.adopt(conn, at.agent(), "me", database_now(conn))


def before_us(at: Floor) -> None:
    """Somebody holds 5, paid 500 of 12,000 for it, and has two orders resting, one of them by an id like ours."""
    at.venue.deposit("d", D(2_000))
    at.venue.place(foreign("older", "5"))
    at.venue.part = D(0)
    for name in (OURS, THEIRS):
        at.venue.place(foreign(name, "1"))
    at.wait(60.0)


def refused_start(at: Floor) -> str:
    with at.trader(**NO_CLOSING) as one, pytest.raises(AgentError) as error:
        one.recover()
    assert at.agent()["trading_state"] == "reducing"
    return f"{error.value}; {error.value.fix}"


def listed(at: Floor) -> list[tuple[Any, ...]]:
    rows = at.rows(booking.discrepancies_of, at.agent()["id"])
    return sorted((one["kind"], one["client_order_id"] or "", one["resolution"]) for one in rows)


def test_26_what_an_account_has_is_listed_and_taken_over_at_a_persons_word(database: Database) -> None:
    with floor(database) as at:
        before_us(at)
        said = refused_start(at)
        assert "the account held 5 of it before these books began" in said
        assert "`agent reconcile --adopt`" in said
        assert refused_start(at) == said, "the same findings again"
        blocking = [("new_database", its, "blocking") for its in ("", THEIRS, OURS)]
        assert listed(at) == blocking
        assert at.rows(booking.fills_of, "venue", "main") == []
        assert at.rows(booking.movements_of, "venue", "main") == []
        assert [one.status for one in at.venue.orders] == ["filled", "open", "open"]

        answer = adopted(at)
        assert (len(answer["adopted"]), answer["trading_state"]) == (3, "active")
        with at.trader(**NO_CLOSING) as one:
            for _ in range(2):  # what became of the cancel is the second answer
                one.recover()
                at.wait(60.0)
            once = at.everything()
            one.recover()
        assert at.everything() == once, "nothing more is to be done"

        position = at.position()
        assert (position["quantity"], position["managed"], position["state"]) == (D(5), True, "open")
        (found,) = [one for one in at.rows(deciding.decisions_of, at.agent()["id"], None, None) if one["synthetic"]]
        assert (found["action"], found["confidence"], found["cycle"]) == ("buy", None, 0)
        assert [one.status for one in at.venue.orders] == ["filled", "cancelled", "open"]
        cash = at.venue.cash
        newest = at.rows(booking.newest_equity, at.agent()["id"])
        assert (newest["cash"], newest["equity"]) == (cash, cash + D("499.5"))  # at the bid
        assert at.agent()["trading_state"] == "active"
        by_person = [("new_database", its, "by_person") for its in ("", OURS, THEIRS)]
        assert set(by_person) <= set(listed(at))


def test_gain_and_loss_are_measured_from_what_new_books_find(database: Database) -> None:
    """Not from what a paper account begins with: 12,000 would be a gain of 20 %, and 500 of it were no gain at all."""
    with floor(database) as at:
        before_us(at)
        refused_start(at)
        adopted(at)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        equity = at.venue.cash + 500
        assert (at.agent()["initial_equity"], at.agent()["peak_equity"]) == (equity, equity)


def test_a_word_is_on_the_list_that_was_seen(database: Database) -> None:
    with floor(database) as at:
        before_us(at)
        refused_start(at)
        adopted(at)
        at.venue.holdings[MARKET, ""] += 2
        said = refused_start(at)
        assert "held 7 of it" in said
        assert "rested" not in said, "of those a person has spoken"
        assert at.rows(booking.fills_of, "venue", "main") == []
        adopted(at)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        assert at.position()["quantity"] == D(7)


def test_an_orchestrator_counts_what_is_adopted_and_leaves_it(database: Database) -> None:
    with floor(database) as at:
        before_us(at)
        refused_start(at)
        adopted(at)
        with at.trader(agent_type="orchestrator") as one:
            one.recover()
        assert at.position()["managed"] is False


def test_what_was_not_listed_is_not_adopted_and_what_is_adopted_is_not_accepted(database: Database) -> None:
    with floor(database) as at:
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        with pytest.raises(Conflict, match="nothing waits to be adopted"):
            adopted(at)
    with floor(database) as at, writing(database.project) as conn:
        its = at.agent()
        row = {"id": "x", "agent_id": its["id"], "found_at": at.clock.at, "kind": "new_database", "ledger": {}}
        booking.add_discrepancy(conn, {**row, "platform": {}, "resolution": "blocking"})
        with pytest.raises(Conflict) as error:
            person.accept(conn, its, ["x"], "me", at.clock.at)
        assert "agent reconcile --adopt" in error.value.fix
