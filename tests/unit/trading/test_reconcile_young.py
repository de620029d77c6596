"""What happened within the last seconds is in one answer of a platform and not yet in another: no verdict about it, and
every other difference is found as soon as nothing is so young. Pure."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.trading.model import Movement
from agent.trading.reconcile import booked_with, is_agreed, reconcile
from agent.trading.reconcile.facts import Ask, BookFill, BookMovement, Holding, Snapshot
from agent.trading.states.orders import client_order_id
from agent.trading.states.permissions import Reason
from tests.examples import examples
from tests.unit.trading.books import (
    ID,
    KEY,
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
)
from tests.unit.trading.histories import OTHER, USUAL, History, noted

JUST_NOW = NOW - timedelta(seconds=4.9)
LATER = timedelta(seconds=5)
SMALL = D("0.05")  # times 100: within what counts as rounding of fees


@pytest.mark.parametrize("quantity", [D(4), SMALL])
def test_a_resting_order_that_fills_right_before_is_no_difference(quantity: D) -> None:
    ours = books(order("open", platform_order_id="p1"))
    fresh = fill("f1", str(quantity), ts=JUST_NOW)
    theirs = platform(
        listed("open", str(quantity)), held=str(quantity), cash=str(10_000 - 100 * quantity), fills=(fresh,)
    )
    assert reconcile(ours, theirs, POLICY) == ()
    (later,) = [one for one in reconcile(ours, replace(theirs, at=NOW + LATER), POLICY) if one.case == 9][:1]
    assert later.acts == (BookFill(fresh),)


@pytest.mark.parametrize("ended", ["filled", "cancelled", "expired"])
def test_an_order_that_ends_with_a_young_fill_ends_with_it_and_not_before(ended: str) -> None:
    """Else its fill comes late to an order that is over, and its position is flat meanwhile."""
    ours = books(order("open", platform_order_id="p1"))
    theirs = platform(listed(ended, "10"), held="10", cash="9000", fills=(fill("f1", "10", ts=JUST_NOW),))
    assert reconcile(ours, theirs, POLICY) == ()
    after = applied(ours, reconcile(ours, replace(theirs, at=NOW + LATER), POLICY))
    assert (after.orders[0].status, after.orders[0].filled) == ("filled", D(10))
    assert reconcile(ours, replace(theirs, orders=()), POLICY) == (), "found by its fill alone"


@pytest.mark.parametrize("quantity", [D(4), SMALL])
def test_an_external_and_a_late_fill_are_no_difference_while_they_are_young(quantity: D) -> None:
    cash = str(10_000 - 100 * quantity)
    for its, ours in ((None, books()), (ID, books(order("cancelled")))):
        fresh = fill("f1", str(quantity), ts=JUST_NOW, client_order_id=its)
        theirs = platform(held=str(quantity), cash=cash, fills=(fresh,))
        assert reconcile(ours, theirs, POLICY) == ()
        (later,) = reconcile(ours, replace(theirs, at=NOW + LATER), POLICY)
        assert later.kind in ("external_fill", "late_fill")


@pytest.mark.parametrize("quantity", [D(4), SMALL])
def test_what_we_booked_may_not_be_in_the_balances_yet(quantity: D) -> None:
    booked = fill("f1", str(quantity), fee=D("0.1"), ts=JUST_NOW)
    ours = books(order("partial", filled=quantity, platform_order_id="p1"), fills=(booked,))
    for fills in ((), (booked,)):
        behind = platform(listed("open", str(quantity)), fills=fills)
        assert reconcile(ours, behind, POLICY) == ()
    found_later = found(ours, replace(platform(listed("open", str(quantity))), at=NOW + LATER))
    assert 16 in found_later or 21 in found_later, "its position is still not there"


def test_cash_that_just_came_is_booked_and_may_not_be_in_the_balance_yet() -> None:
    paid = Movement(external_id="d1", kind="deposit", amount=D(500), ts=JUST_NOW)
    for cash in ("10000", "10500"):
        theirs = platform(cash=cash, movements=(paid,))
        assert acts_of(reconcile(books(), theirs, POLICY)) == [BookMovement(paid)]
        known = booked_with(books(), [noted(paid)])
        assert reconcile(known, theirs, POLICY) == ()
    assert reconcile(known, platform(), POLICY) == (), "not in its list either"
    late = reconcile(known, replace(theirs, cash=D(10_000), at=NOW + LATER), POLICY)
    assert [one.kind for one in late] == ["cash_mismatch"]


def test_an_order_that_is_not_found_is_not_judged_by_cash_that_moves() -> None:
    """A fill of somebody else is no proof that it did something."""
    ours, asked = books(order("open")), {"fills": (fill("f1", "4", client_order_id=None, ts=JUST_NOW),)}
    theirs = platform(held="4", cash="9600", **asked)
    (difference,) = reconcile(ours, theirs, POLICY)
    assert (difference.acts, difference.brings) == ((Ask(ID),), None)
    unknown = reconcile(books(order("unknown")), replace(theirs, is_authoritative=False), POLICY)
    assert acts_of(unknown) == [Ask(ID)]
    later = reconcile(ours, replace(theirs, at=NOW + LATER), POLICY)
    assert [one.kind for one in later] == ["external_fill", "vanished"]


def test_an_order_that_just_ended_may_still_be_listed() -> None:
    """We took it back, or saw it fill: a list that is a little behind is no reason to alert anybody."""
    for status in ("cancelled", "filled", "rejected"):
        ours = books(order(status, status_at=JUST_NOW))
        assert reconcile(ours, platform(listed("open")), POLICY) == ()
        assert found(ours, replace(platform(listed("open")), at=NOW + LATER))[14].kind in (
            "found_open",
            "unexpected_event",
        )


def test_another_position_is_judged_all_the_same() -> None:
    fresh = fill("f1", "4", ts=JUST_NOW, client_order_id=None)
    theirs = platform(holdings={KEY: Holding(D(4)), OTHER: Holding(D(1), D(50))}, cash="9600", fills=(fresh,))
    (difference,) = reconcile(books(), theirs, POLICY)
    assert (difference.kind, difference.key) == ("found_position", OTHER)


def test_a_real_difference_is_found_when_nothing_is_young_any_more() -> None:
    theirs = platform(held="4", cash="9500", fills=(fill("f1", "4", ts=JUST_NOW, client_order_id=None),))
    assert reconcile(books(), theirs, POLICY) == ()
    later = found(books(), replace(theirs, at=NOW + LATER))
    assert later[22].brings is Reason.MISMATCH


# --- by property ---------------------------------------------------------------------------------------------------


def planted(theirs: Snapshot, chance: random.Random) -> Snapshot:
    """A snapshot that differs from right books, for long."""
    what, size = chance.choice(["cash", "position", "new position", "order"]), D(chance.choice([-3, -1, 1, 4]))
    if what == "cash":
        return replace(theirs, cash=theirs.cash + size * chance.choice([D("0.01"), 100]))
    if what == "order":
        stray = listed("open", client_order_id=client_order_id("lost", "open", 0), platform_order_id="lost")
        return replace(theirs, orders=(*theirs.orders, stray))
    key = ("third", "") if what == "new position" else KEY
    held = theirs.holdings or {}
    before = held.get(key, Holding(D(0)))
    return replace(theirs, holdings={**held, key: Holding(before.quantity + size, D(100))})


@settings(max_examples=examples(400), deadline=None)
@given(st.integers(0, 2**32))
def test_right_books_never_differ_whenever_they_are_compared(seed: int) -> None:
    chance = random.Random(seed)
    history = History.drawn(chance)
    ours = history.books(NOW - timedelta(seconds=chance.uniform(0, 12)))
    for at in (NOW, NOW + timedelta(seconds=60)):
        theirs = history.platform(at, chance)
        differences = reconcile(ours, theirs, POLICY)
        assert {one.kind for one in differences} <= USUAL
        assert not any(one.alert or one.brings is not None for one in differences)
        ours = applied(ours, differences)
    assert reconcile(ours, theirs, POLICY) == ()
    assert is_agreed(ours, theirs, POLICY, ())
    assert (ours.cash, ours.holdings) == (theirs.cash, theirs.holdings)


@settings(max_examples=examples(400), deadline=None)
@given(st.integers(0, 2**32))
def test_a_difference_is_found_unless_something_is_young_and_then_the_next_time(seed: int) -> None:
    chance = random.Random(seed)
    history = History.drawn(chance)
    ours = history.books(NOW - timedelta(seconds=chance.uniform(0, 12)))
    theirs = planted(history.platform(NOW, chance), chance)
    found_now = reconcile(ours, theirs, POLICY)
    assert {one.kind for one in found_now} - USUAL or not is_agreed(ours, theirs, POLICY, found_now)
    everything = history.books(NOW)
    later = planted(history.platform(NOW + timedelta(seconds=60), chance), chance)
    assert reconcile(everything, later, POLICY) != ()
