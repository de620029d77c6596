"""Reconciliation, case by case: orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.trading.reconcile import reconcile
from agent.trading.reconcile.facts import (
    AdoptOrder,
    Ask,
    BookFill,
    Cancel,
    MoveOrder,
)
from agent.trading.states.orders import client_order_id
from agent.trading.states.permissions import Reason
from tests.unit.trading.books import (
    ID,
    NOW,
    POLICY,
    D,
    acts_of,
    applied,
    books,
    fill,
    found,
    listed,
    order,
    platform,
    status_after,
)


def test_01_prepared_and_never_sent_is_abandoned() -> None:
    ours = books(order("prepared", first_sent_at=None))
    assert set(found(ours, platform())) == {1}
    assert status_after(ours, platform()) == "abandoned"


def test_02_prepared_and_there_all_the_same_blocks() -> None:
    ours = books(order("prepared", first_sent_at=None))
    difference = found(ours, platform(listed("open")))[2]
    assert (difference.resolution, difference.acts) == ("blocking", ())
    assert "two processes" in difference.note


@pytest.mark.parametrize("status", ["sending", "unknown"])
def test_03_to_05_what_is_found_is_taken_as_it_is(status: str) -> None:
    ours = books(order(status))
    assert found(ours, platform(listed("open")))[3].acts == (MoveOrder(ID, "found open", "p1"),)
    assert status_after(ours, platform(listed("open"))) == "open"
    whole = platform(listed("filled", "10"), held="10", cash="9000", fills=(fill("f1", "10"),))
    assert set(found(ours, whole)) == {9, 4}
    after = applied(ours, reconcile(ours, whole, POLICY))
    assert (after.orders[0].status, after.orders[0].filled, after.cash) == ("filled", D(10), D(9000))
    for ended, state in (("cancelled", "cancelled"), ("expired", "expired"), ("rejected", "rejected")):
        assert set(found(ours, platform(listed(ended)))) == {5}
        assert status_after(ours, platform(listed(ended))) == state


@pytest.mark.parametrize("status", ["sending", "unknown"])
def test_06_not_found_is_not_placed_when_the_platform_can_say_so_for_long_enough(status: str) -> None:
    assert found(books(order(status)), platform())[6].kind == "not_placed"
    assert status_after(books(order(status)), platform()) == "not_placed"
    for young in ({"checks": 4}, {"first_sent_at": NOW - timedelta(seconds=9.9)}):
        difference = found(books(order(status, **young)), platform())[6]
        assert difference.acts == (Ask(ID),), "asked again, never sent again"
    assert found(books(order(status)), platform(asked=frozenset()))[6].acts == (Ask(ID),)


def test_07_a_platform_that_cannot_prove_it_needs_positions_and_cash() -> None:
    ours, cannot = books(order("unknown")), {"is_authoritative": False}
    explained = found(ours, platform(**cannot))[7]
    assert (explained.kind, explained.note) == ("not_placed", "positions and cash agree")
    unproven = found(ours, platform(held=None, **cannot))[7]
    assert (unproven.kind, unproven.acts, unproven.brings) == ("not_proven", (), Reason.MISMATCH)
    moved = found(ours, platform(held="10", cash="9000", has_old_fills=True, **cannot))
    assert moved[7].kind == "not_proven"
    assert moved[18].kind == "found_position"
    by_fills = platform(held="10", cash="9000", fills=(fill("f1", "10"),), **cannot)
    assert status_after(ours, by_fills) == "filled"


def test_08_open_and_open_is_nothing() -> None:
    assert reconcile(books(order("open", platform_order_id="p1")), platform(listed("open")), POLICY) == ()


def test_09_more_is_filled_than_we_know() -> None:
    ours = books(order("open"))
    told = platform(listed("open", "4"), held="4", cash="9600", fills=(fill("f1", "4"),))
    assert acts_of(reconcile(ours, told, POLICY)) == [BookFill(fill("f1", "4")), MoveOrder(ID, "filled in part", "p1")]
    silent = platform(listed("open", "4", average=D(99)), held="4", cash="9604")
    after = applied(ours, reconcile(ours, silent, POLICY))
    (inferred,) = after.fills
    assert (inferred.quantity, inferred.price, inferred.inferred) == (D(4), D(99), True)
    assert (after.orders[0].status, after.cash) == ("partial", D(9604))
    second = platform(listed("open", "6", average=D("99.5")), held="6", cash="9403")
    again = applied(after, reconcile(after, second, POLICY))
    assert again.fills[1].price == D("100.5"), "the average of both is the platform's"


def test_10_filled_while_we_were_away() -> None:
    ours = books(order("partial", filled=D(4)), fills=(fill("f1", "4"),))
    theirs = platform(listed("filled", "10"), held="10", cash="9000")
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.orders[0].status, after.orders[0].filled) == ("filled", D(10))
    assert found(ours, theirs)[10].kind == "inferred_fill"


def test_11_cancelled_while_we_were_away_keeps_what_was_filled() -> None:
    ours = books(order("partial", filled=D(4)), fills=(fill("f1", "4"),))
    theirs = platform(listed("cancelled", "5"), held="5", cash="9500")
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.orders[0].status, after.orders[0].filled) == ("cancelled", D(5))
    assert status_after(books(order("open")), platform(listed("expired"))) == "expired"


def test_12_an_open_order_that_is_not_listed_is_asked_for_first() -> None:
    ours = books(order("open"))
    assert found(ours, platform(asked=frozenset()))[12].acts == (Ask(ID),)
    assert found(ours, platform())[12].kind == "vanished"
    assert status_after(ours, platform()) == "cancelled"
    assert found(ours, platform(held="3", cash="9700"))[7].kind == "not_proven", "it did something"


def test_13_still_open_is_cancelled_again() -> None:
    ours = books(order("cancelling"))
    assert acts_of(reconcile(ours, platform(listed("open")), POLICY)) == [Cancel("p1")]
    assert status_after(ours, platform(listed("cancelled"))) == "cancelled"


@pytest.mark.parametrize("status", ["cancelled", "expired", "rejected", "not_placed"])
def test_14_over_for_us_and_open_there_is_cancelled(status: str) -> None:
    difference = found(books(order(status)), platform(listed("open")))[14]
    assert difference.acts == (MoveOrder(ID, "found open", "p1"), Cancel("p1"))
    assert (difference.kind, difference.alert) == ("found_open", True)


def test_14_a_filled_one_that_is_open_is_not_believed() -> None:
    ours = books(order("filled", filled=D(10)), fills=(fill("f1", "10"),))
    difference = found(ours, platform(listed("open", "10"), held="10", cash="9000"))[14]
    assert (difference.kind, difference.acts, difference.brings) == ("unexpected_event", (), Reason.UNEXPECTED_EVENT)


def test_14_a_late_fill_is_booked_and_told() -> None:
    """Acceptance test 13."""
    ours = books(order("cancelled"))
    theirs = platform(listed("cancelled", "2"), held="2", cash="9800", fills=(fill("f1", "2"),))
    difference = found(ours, theirs)[14]
    assert (difference.kind, difference.alert) == ("late_fill", True)
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.orders[0].status, after.orders[0].filled, after.cash) == ("cancelled", D(2), D(9800))
    over = books(order("filled", filled=D(10)), fills=(fill("f1", "10"),))
    more = platform(listed("filled", "11"), held="11", cash="8900", fills=(fill("f1", "10"), fill("f2", "1")))
    assert (found(over, more)[14].kind, found(over, more)[14].brings) == ("overfill", Reason.OVERFILL)


def test_15_a_lost_row_of_ours_is_adopted_and_cancelled() -> None:
    lost = listed("open", client_order_id=client_order_id("lost", "open", 0), platform_order_id="p9")
    difference = found(books(), platform(lost))[15]
    assert difference.acts == (AdoptOrder(lost), Cancel("p9"))
    assert difference.alert


def test_17_an_order_of_somebody_else_is_left_alone() -> None:
    other = listed("open", client_order_id="x-1", platform_order_id="p9")
    assert found(books(), platform(other))[17].acts == ()
    killing = found(books(), platform(other), replace(POLICY, kills_external=True))
    assert killing[17].acts == (Cancel("p9"),)
