"""A comparison of the last day alone finds nothing only where one of everything finds nothing: except what is older and
changes neither a position nor cash, which the daily one of everything finds. Pure."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.trading.ledger import VOID
from agent.trading.reconcile import booked_with, reconcile
from agent.trading.reconcile.facts import Books, Holding, Snapshot
from agent.trading.states.orders import FINAL, client_order_id
from tests.examples import examples
from tests.unit.trading.books import NOW, POLICY, D, books, fill, listed
from tests.unit.trading.histories import ORDERS, History

DAY = timedelta(days=1)
LONG = 6 * DAY.total_seconds()
LATER = NOW + timedelta(minutes=1)


def in_short(ours: Books, theirs: Snapshot) -> tuple[Books, Snapshot]:
    """What is left of both where only the last day is looked at, as `steps.recover.recent_books_of` reads it."""
    live = tuple(one for one in ours.orders if one.status not in FINAL)
    since = min([theirs.at, *(one.prepared_at for one in live)]) - DAY
    fills = tuple(one for one in theirs.fills if one.ts >= since)
    names = {name for one in fills for name in (one.fill_id, one.fill_id + VOID)}
    its = {one.client_order_id for one in live}
    cut = replace(
        ours,
        orders=live,
        fills=tuple(one for one in ours.fills if one.fill_id in names or one.client_order_id in its),
        movements=tuple(one for one in ours.movements if one.ts >= since),
    )
    orders = tuple(one for one in theirs.orders if one.status == "open")
    movements = tuple(one for one in theirs.movements if one.ts >= since)
    return cut, replace(theirs, orders=orders, fills=fills, movements=movements, asked=frozenset(), has_old_fills=False)


def altered(theirs: Snapshot, chance: random.Random) -> Snapshot:
    """A snapshot in which something differs from right books."""
    fills, orders = list(theirs.fills), list(theirs.orders)
    match chance.choice(["cash", "position", "fill", "fee", "failed", "deposit", "open", "ended", "stray"]):
        case "cash":
            return replace(theirs, cash=theirs.cash + chance.choice([D("0.01"), D(-200)]))
        case "position":
            held = dict(theirs.holdings or {})
            if held and chance.random() < 0.5:
                del held[sorted(held)[0]]
            else:
                held["third", ""] = Holding(D(1), D(100))
            return replace(theirs, holdings=held)
        case "fill":
            ts = NOW - timedelta(seconds=chance.uniform(10, LONG))
            late = fill(
                "late", "2", client_order_id=chance.choice([None, *ORDERS]), ts=ts, fee=chance.choice([D(0), D(1)])
            )
            holdings = books(fills=(*fills, late)).holdings
            return replace(theirs, fills=(*fills, late), holdings=holdings, cash=theirs.cash - 200 - late.fee)
        case "fee" if fills:
            which = chance.randrange(len(fills))
            fills[which] = replace(fills[which], fee=fills[which].fee + 1)
            return replace(theirs, fills=tuple(fills), cash=theirs.cash - chance.choice([0, 1]))
        case "failed" if fills:
            which = chance.randrange(len(fills))
            fills[which] = replace(fills[which], settlement="failed")
            return replace(theirs, fills=tuple(fills))
        case "deposit" if theirs.movements:
            return replace(theirs, movements=theirs.movements[1:], cash=theirs.cash - theirs.movements[0].amount)
        case "open":
            orders = [replace(one, status="open") for one in orders]
        case "ended":
            orders = [replace(one, status="cancelled" if one.status == "open" else one.status) for one in orders]
        case "stray":
            its = chance.choice([client_order_id("lost", "open", 0), "somebody", None])
            orders.append(listed("open", client_order_id=its, platform_order_id="lost"))
    return replace(theirs, orders=tuple(orders))


OLD = {
    "fill_differs",
    "fill_failed",
    "missed_fill",
    "late_fill",
    "overfill",
    "external_fill",
}  # of a fill before the day


@settings(max_examples=examples(400), deadline=None)
@given(st.integers(0, 2**32))
def test_where_the_last_day_shows_nothing_all_shows_nothing(seed: int) -> None:
    chance = random.Random(seed)
    history = History.drawn(chance, LONG)
    ours = history.books(NOW - timedelta(seconds=chance.choice([0, 0, chance.uniform(0, LONG)])))
    theirs = history.platform(LATER, chance)
    if chance.random() < 0.8:
        theirs = altered(theirs, chance)
    if reconcile(*in_short(ours, theirs), POLICY) != ():
        return
    for one in reconcile(ours, theirs, POLICY)[:1]:  # what follows from it comes after it
        assert one.kind in OLD, one
        executed = next(each for each in theirs.fills if each.fill_id == one.platform["fill"])
        assert executed.ts < LATER - DAY


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, 2**32))
def test_right_books_show_nothing_in_short_either(seed: int) -> None:
    chance = random.Random(seed)
    history = History.drawn(chance, LONG)
    ours, theirs = history.books(NOW), history.platform(LATER, chance)
    assert reconcile(*in_short(ours, theirs), POLICY) == ()


def test_what_is_older_than_a_day_and_moves_nothing_is_left_to_the_whole() -> None:
    old = fill("f1", "10", ts=NOW - 3 * DAY, client_order_id=None)
    ours = books(fills=(old,))
    theirs = Snapshot(at=NOW, fills=(replace(old, fee=D(1)),), holdings=ours.holdings, cash=ours.cash)
    assert reconcile(*in_short(ours, theirs), POLICY) == ()
    assert "fill_differs" in {one.kind for one in reconcile(ours, theirs, POLICY)}
    charged = replace(theirs, cash=ours.cash - 1)
    assert {one.kind for one in reconcile(*in_short(ours, charged), POLICY)} == {"cash_rounding"}


def test_books_that_nothing_is_added_to_are_not_summed_up_again() -> None:
    ours = replace(books(), cash=D(1))
    assert booked_with(ours, ()) is ours
