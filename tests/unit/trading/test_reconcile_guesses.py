"""What was inferred for want of a fill is taken back when the fill is listed at last. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.trading import ledger
from agent.trading.reconcile import reconcile
from agent.trading.reconcile.facts import BookFill, Books, Holding, Snapshot
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

EARLIER = NOW - timedelta(seconds=120)


def settled(ours: Books, theirs: Snapshot) -> Books:
    """The books after reconciliation, which a second one leaves as they are."""
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert acts_of(reconcile(after, theirs, POLICY)) == []
    return after


def in_force(ours: Books) -> list[str]:
    return [one.fill_id for one in ledger.in_order(ours.fills) if isinstance(one, ledger.Fill)]


def test_an_order_s_guess_gives_way_to_its_fill_and_is_no_overfill() -> None:
    silent = platform(listed("filled", "10"), held="10", cash="9000")
    guessed = settled(books(order("open")), silent)
    assert guessed.orders[0].status == "filled"
    told = replace(silent, at=NOW + timedelta(seconds=60), fills=(fill("f1", "10", fee=D(0)),))
    differences = found(guessed, told)
    assert all(one.brings is None for one in differences.values())
    after = settled(guessed, told)
    assert in_force(after) == ["f1"]
    assert (after.orders[0].status, after.orders[0].filled) == ("filled", D(10))
    assert (after.holdings[KEY].quantity, after.cash) == (D(10), D(9000))


def test_what_is_still_not_listed_of_an_order_is_inferred_anew() -> None:
    silent = platform(listed("filled", "10", average=D("100.6")), held="10", cash="8994")
    guessed = settled(books(order("open")), silent)
    told = replace(silent, at=NOW + timedelta(seconds=60), fills=(fill("f1", "4"),))
    after = settled(guessed, told)
    (real, rest) = [one for one in ledger.in_order(after.fills) if isinstance(one, ledger.Fill)]
    assert (real.fill_id, rest.inferred) == ("f1", True)
    assert (rest.quantity, rest.price) == (D(6), D(101)), "the average of both is the platform's"
    assert (after.holdings[KEY].quantity, after.cash) == (D(10), D(8994))


def held_one_more(at: int, cash: str = "8899") -> Snapshot:
    one_more = {KEY: Holding(D(11), D(100))}
    moment = NOW + timedelta(seconds=at)
    fills = (fill("f1", "10", ts=EARLIER),)
    return platform(holdings=one_more, cash=cash, at=moment, fills=fills, has_old_fills=True)


def test_a_position_s_guess_gives_way_to_an_earlier_fill_and_earns_nothing() -> None:
    ours = books(fills=(fill("f1", "10", ts=EARLIER, client_order_id=None),))
    silent = held_one_more(0)
    guessed = settled(ours, silent)
    assert guessed.holdings[KEY].quantity == D(11)
    told = held_one_more(60)
    theirs = fill("x", "1", "101", client_order_id=None, ts=NOW - timedelta(seconds=20))
    told = replace(told, fills=(*told.fills, theirs))
    after = settled(guessed, told)
    assert in_force(after) == ["f1", "x"]
    assert ledger.rebuilt(after.fills, after.movements).lines[KEY].realized == 0
    assert (after.holdings[KEY].quantity, after.cash) == (D(11), D(8899))


def test_a_later_fill_takes_no_guess_back() -> None:
    ours = books(fills=(fill("f1", "10", ts=EARLIER, client_order_id=None),))
    guessed = settled(ours, held_one_more(0))
    later = fill("x", "2", "101", client_order_id=None, ts=NOW + timedelta(seconds=20))
    told = replace(held_one_more(60, cash="8697"), holdings={KEY: Holding(D(13), D(100))})
    after = settled(guessed, replace(told, fills=(*told.fills, later)))
    assert len(in_force(after)) == 3
    assert after.holdings[KEY].quantity == D(13)


def test_what_a_position_was_found_with_stays() -> None:
    """Its cash came in with it."""
    ours = books()
    adopted = settled(ours, platform(held="5"))
    assert adopted.holdings[KEY].quantity == D(5)
    listed_late = fill("x", "5", client_order_id=None, ts=NOW - timedelta(seconds=20))
    assert ledger.guesses_at(listed_late, adopted.fills, adopted.movements) == []


def test_the_same_difference_may_come_again() -> None:
    """Sold one by one past us, at one price: each time another fill."""
    ours = books(fills=(fill("f1", "10", ts=EARLIER, client_order_id=None),))
    names = []
    for left in ("9.95", "9.9"):
        here = {KEY: Holding(D(left), D(100))}
        sold = platform(holdings=here, cash="9000", has_old_fills=True, fills=(fill("f1", "10", ts=EARLIER),))
        (act,) = [one for one in acts_of(reconcile(ours, sold, POLICY)) if isinstance(one, BookFill)]
        names.append(act.fill.fill_id)
        ours = applied(ours, reconcile(ours, sold, POLICY))
        assert ours.holdings[KEY].quantity == D(left)
    assert len(set(names)) == 2


@given(parts=st.lists(st.integers(1, 9), min_size=1, max_size=5), order_of=st.randoms(use_true_random=False))
def test_in_whatever_order_fills_are_listed_the_books_end_as_if_they_had_been_at_once(
    parts: list[int], order_of: object
) -> None:
    whole = sum(parts)
    prices = [100 + number for number in range(len(parts))]
    real = [fill(f"f{n}", str(part), str(price)) for n, (part, price) in enumerate(zip(parts, prices, strict=True))]
    paid = sum(part * price for part, price in zip(parts, prices, strict=True))
    average = D(paid) / D(whole)
    its = listed("filled", str(whole), quantity=D(whole), average=average)
    order_of.shuffle(real)  # type: ignore[attr-defined]
    ours = books(order("open", quantity=D(whole)))
    for known in range(len(real) + 1):
        theirs = platform(
            its, held=str(whole), cash=str(10_000 - paid), fills=tuple(real[:known]), at=NOW + timedelta(seconds=known)
        )
        differences = reconcile(ours, theirs, POLICY)
        assert all(one.brings is None for one in differences), "no fill is one too many"
        ours = applied(ours, differences)
        assert ours.holdings[KEY].quantity == whole
    assert sorted(in_force(ours)) == sorted(one.fill_id for one in real)
    assert ours.cash == 10_000 - paid
    assert ours.orders[0].client_order_id == ID


def test_a_position_is_not_judged_while_its_order_is_asked_about() -> None:
    """An order that was filled is on no list of open ones; the fill is not listed yet, and far beyond the limit."""
    ours = books(order("open"))
    unasked = platform(held="10", cash="9000", asked=frozenset(), has_old_fills=True)
    assert {one.case for one in reconcile(ours, unasked, POLICY)} == {12}
    after = settled(ours, replace(unasked, orders=(listed("filled", "10"),), asked=frozenset({ID})))
    assert (after.orders[0].status, after.holdings[KEY].quantity) == ("filled", D(10))
