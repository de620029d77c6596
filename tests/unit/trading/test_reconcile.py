"""Books against the platform: the twenty-eight cases of the specification, and that twice is once."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.amounts import total
from agent.trading.ledger import filled_of
from agent.trading.model import Fill, Key, Movement, Order
from agent.trading.reconcile import booked_with, reconcile
from agent.trading.reconcile.facts import (
    AdoptOrder,
    AdoptPosition,
    Ask,
    BookFill,
    BookMovement,
    Books,
    Cancel,
    Discrepancy,
    Holding,
    MoveOrder,
    PlatformOrder,
    Policy,
    SettleFill,
    Snapshot,
)
from agent.trading.states.machine import step
from agent.trading.states.orders import ORDER, client_order_id
from agent.trading.states.permissions import Reason
from tests.examples import examples

D = Decimal
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY: Key = ("m", "")
OPENED = NOW - timedelta(days=10)
CASH = Movement(external_id="opening", kind="deposit", amount=D(10_000), ts=OPENED)
POLICY = Policy(dust=D("0.001"))
ID = client_order_id("d", "open", 0)


def order(status: str, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "client_order_id": ID,
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "purpose": "open",
        "type": "limit",
        "time_in_force": "gtc",
        "quantity": D(10),
        "limit_price": D(100),
        "status": status,
        "prepared_at": NOW - timedelta(seconds=61),
        "first_sent_at": NOW - timedelta(seconds=60),
        "checks": 5,
    }
    return Order(**values | changes)


def listed(status: str, filled: str = "0", **changes: Any) -> PlatformOrder:
    values: dict[str, Any] = {
        "client_order_id": ID,
        "platform_order_id": "p1",
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": D(10),
        "filled": D(filled),
        "status": status,
        "average": D(100) if D(filled) else None,
    }
    return PlatformOrder(**values | changes)


def fill(name: str, quantity: str, price: str = "100", **changes: Any) -> Fill:
    values: dict[str, Any] = {
        "fill_id": name,
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": D(quantity),
        "price": D(price),
        "fee": D(0),
        "ts": NOW - timedelta(seconds=30),
        "client_order_id": ID,
    }
    return Fill(**values | changes)


def books(*orders: Order, fills: tuple[Fill, ...] = (), **changes: Any) -> Books:
    """Books that began with 10 000, after these fills."""
    empty = Books(orders=orders, fills=fills, movements=(CASH,), equity=D(10_000), opened_at=OPENED)
    return replace(booked_with(empty, ()), **changes)


def platform(*orders: PlatformOrder, held: str | None = "0", cash: str = "10000", **changes: Any) -> Snapshot:
    """A platform that holds so much of m, and cash."""
    values: dict[str, Any] = {
        "at": NOW,
        "orders": orders,
        "asked": frozenset({ID}),
        "holdings": None if held is None else {KEY: Holding(D(held), D(100))} if D(held) else {},
        "cash": D(cash),
        "mids": {KEY: D(101)},
    }
    return Snapshot(**values | changes)


def found(ours: Books, theirs: Snapshot, policy: Policy = POLICY) -> dict[int, Discrepancy]:
    return {one.case: one for one in reconcile(ours, theirs, policy)}


def applied(ours: Books, differences: tuple[Discrepancy, ...]) -> Books:
    """What the agent does with the acts, without a database."""
    after = booked_with(ours, differences)
    rows = {one.client_order_id: one for one in after.orders}
    for act in (act for one in differences for act in one.acts):
        match act:
            case MoveOrder(name, event, number):
                known = number if number is not None else rows[name].platform_order_id
                status = step(ORDER, rows[name].status, event).state
                rows[name] = replace(rows[name], status=status, platform_order_id=known)
            case AdoptOrder(one):
                assert one.client_order_id is not None
                rows[one.client_order_id] = order(
                    "cancelling", client_order_id=one.client_order_id, platform_order_id=one.platform_order_id
                )
            case _:
                assert isinstance(act, Ask | Cancel | BookFill | BookMovement | SettleFill | AdoptPosition)
    projected = tuple(replace(one, filled=filled_of(after.fills, one.client_order_id)[0]) for one in rows.values())
    return replace(after, orders=projected, opened_at=ours.opened_at or NOW)


def acts_of(differences: tuple[Discrepancy, ...]) -> list[Any]:
    return [act for one in differences for act in one.acts]


def status_after(ours: Books, theirs: Snapshot) -> str:
    return applied(ours, reconcile(ours, theirs, POLICY)).orders[0].status


# --- orders: 1 to 15, 17 -------------------------------------------------------------------------------------------


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


# --- positions and cash: 16, 18 to 26 ------------------------------------------------------------------------------

HELD = (fill("f1", "10", client_order_id=None),)


def test_16_what_nobody_explains_is_looked_for_then_corrected_or_left_to_a_person() -> None:
    ours = books(fills=HELD)
    theirs = platform(held="10.5", cash="8950")
    assert found(ours, theirs)[16].acts == (Ask(None),)
    small = found(ours, replace(theirs, has_old_fills=True))[16]
    assert small.resolution == "corrected"
    after = applied(ours, reconcile(ours, replace(theirs, has_old_fills=True), POLICY))
    assert (after.holdings[KEY].quantity, after.cash) == (D("10.5"), D(8950))
    large = found(ours, platform(held="20", cash="8000", has_old_fills=True))[16]
    assert (large.resolution, large.acts, large.brings) == ("blocking", (), Reason.MISMATCH)


def test_16_the_price_makes_the_platforms_average_right() -> None:
    ours = books(fills=HELD)
    theirs = platform(held="10.5", cash="8950", has_old_fills=True, holdings={KEY: Holding(D("10.5"), D("100.5"))})
    (act,) = [one for one in acts_of(reconcile(ours, theirs, POLICY)) if isinstance(one, BookFill)]
    assert act.fill.price == D("110.5")
    assert (act.fill.quantity, act.fill.side) == (D("0.5"), "buy")


def test_18_a_position_that_is_found_is_adopted_and_is_no_gain() -> None:
    """Acceptance test 16."""
    for adopts in (True, False):
        differences = reconcile(books(), platform(held="40"), replace(POLICY, adopts=adopts))
        after = applied(books(), differences)
        assert after.holdings[KEY] == Holding(D(40), D(100))
        assert after.cash == D(10_000), "it was paid for before"
        assert AdoptPosition(KEY, D(40), adopts) in acts_of(differences)
        assert [one.kind for one in after.movements] == ["deposit", "deposit"]
    short = applied(books(), reconcile(books(), platform(held="-5"), POLICY))
    assert (short.holdings[KEY].quantity, short.cash) == (D(-5), D(10_000))


def test_19_the_other_side_always_waits_for_a_person() -> None:
    difference = found(books(fills=HELD), platform(held="-0.01", has_old_fills=True))[19]
    assert (difference.resolution, difference.acts) == ("blocking", ())


def test_20_a_resolved_market_is_paid_out() -> None:
    held = (fill("f1", "10", "0.4", outcome="yes", client_order_id=None),)
    key = ("m", "yes")
    theirs = platform(cash="10006", payouts={key: D(1)})
    ours = books(fills=held)
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.holdings, after.cash) == ({}, D(10006))
    nothing = applied(ours, reconcile(ours, platform(cash="9996", payouts={key: D(0)}), POLICY))
    assert (nothing.holdings, nothing.cash) == ({}, D(9996))


def test_21_closed_by_somebody_else() -> None:
    ours = books(fills=HELD)
    theirs = platform(cash="10009", has_old_fills=True)
    assert (found(ours, theirs)[21].kind, found(ours, theirs)[21].alert) == ("external_close", True)
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert after.holdings == {}
    assert after.cash == D(10009), "sold at the mid of 101, and the rest is rounding"


def test_22_cash_is_explained_rounded_or_reduces() -> None:
    paid = Movement(external_id="c1", kind="withdrawal", amount=D(-500), ts=NOW)
    explained = reconcile(books(), platform(cash="9500", movements=(paid,)), POLICY)
    assert [one.acts for one in explained] == [(BookMovement(paid),)]
    rounding = found(books(), platform(cash="10010"))[22]
    assert (rounding.kind, rounding.resolution) == ("cash_rounding", "corrected")
    beyond = found(books(), platform(cash="10010.01"))[22]
    assert (beyond.kind, beyond.acts, beyond.brings) == ("cash_mismatch", (), Reason.MISMATCH)


def test_23_another_price_or_fee_is_an_adjustment_and_ours_is_kept() -> None:
    ours = books(fills=HELD)
    theirs = platform(held="10", cash="8989.5", fills=(replace(HELD[0], price=D(101), fee=D("0.5")),))
    assert found(ours, theirs)[23].kind == "fill_differs"
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.cash, after.fills[0].price) == (D("8989.5"), D(100))
    sold = books(fills=(*HELD, fill("f2", "10", "100", side="sell", client_order_id=None)))
    more = platform(cash="10010", fills=(fill("f2", "10", "101", side="sell", client_order_id=None),))
    assert applied(sold, reconcile(sold, more, POLICY)).cash == D(10010)


def test_24_a_pending_fill_is_confirmed_and_nothing_else_changes() -> None:
    ours = books(fills=(replace(HELD[0], settlement="pending"),))
    theirs = platform(held="10", cash="9000", fills=HELD)
    assert acts_of(reconcile(ours, theirs, POLICY)) == [SettleFill("f1")]
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.fills[0].settlement, after.cash) == ("confirmed", D(9000))


def test_25_a_fill_that_failed_is_undone() -> None:
    ours = books(fills=(replace(HELD[0], settlement="pending", fee=D(3)),))
    theirs = platform(fills=(replace(HELD[0], settlement="failed", fee=D(3)),))
    difference = found(ours, theirs)[25]
    assert difference.alert
    after = applied(ours, reconcile(ours, theirs, POLICY))
    assert (after.holdings, after.cash) == ({}, D(10_000))
    assert after.fills[1].fill_id == "f1:void"


def test_26_new_books_take_cash_and_nothing_else_silently() -> None:
    new = Books()
    assert applied(new, reconcile(new, platform(), POLICY)).cash == D(10_000)
    asked = reconcile(new, platform(listed("open"), held="3"), POLICY)
    assert {one.resolution for one in asked} == {"blocking"}
    assert acts_of(asked) == []
    assert "--adopt" in asked[0].note
    adopted = applied(new, reconcile(new, platform(held="3"), replace(POLICY, may_open=True)))
    assert (adopted.holdings[KEY].quantity, adopted.cash) == (D(3), D(10_000))
    before = platform(held="3", fills=(fill("old", "3"),))
    assert reconcile(adopted, before, POLICY) == (), "an older fill is in what was found"
    assert reconcile(new, platform(held=None), POLICY)[0].resolution == "blocking"


def test_28_an_older_kill_goes_first() -> None:
    ours = books(order("unknown"), is_killed=True)
    (only,) = reconcile(ours, platform(held="40", cash="1"), POLICY)
    assert (only.case, only.acts) == (28, ())


# --- what is not known ---------------------------------------------------------------------------------------------


def test_positions_that_cannot_be_read_are_never_flat() -> None:
    """Acceptance test 17."""
    ours = books(fills=HELD)
    assert reconcile(ours, platform(held=None, cash="9000"), POLICY) == ()


def test_an_incomplete_snapshot_gives_no_verdict() -> None:
    """Acceptance test 18."""
    ours = books(order("unknown"), fills=HELD)
    assert reconcile(ours, platform(is_complete=False), POLICY) == ()


def test_what_is_younger_than_five_seconds_waits() -> None:
    young = order("sending", first_sent_at=NOW - timedelta(seconds=4.9))
    assert reconcile(books(young), platform(held="10", cash="9000"), POLICY) == ()
    fresh = fill("f1", "10", ts=NOW - timedelta(seconds=4.9))
    assert reconcile(books(), platform(held="10", fills=(fresh,)), POLICY) == ()


# --- by property ---------------------------------------------------------------------------------------------------


@settings(max_examples=examples(200))
@given(st.integers(0, 2**32))
def test_twice_is_once_and_books_are_the_platforms(seed: int) -> None:
    chance = random.Random(seed)
    status = chance.choice(["sending", "unknown", "open", "partial", "cancelling", "cancelled", "not_placed", "filled"])
    known = fill("f1", "4") if status == "partial" else fill("f1", "10") if status == "filled" else None
    ours = books(
        order(
            status,
            filled=D(0) if known is None else known.quantity,
            platform_order_id="p1" if status != "unknown" else None,
        ),
        fills=() if known is None else (known,),
    )
    least = D(0) if known is None else known.quantity
    done = max(least, D(chance.randrange(0, 11)))
    state = "filled" if done == 10 else chance.choice(["open", "cancelled", "expired"])
    if status == "filled":
        state = "filled"
    rest = done - least
    new = (fill("f2", str(rest), "100"),) if rest and chance.random() < 0.7 else ()
    theirs = platform(listed(state, str(done)), held=str(done), cash=str(D(10_000) - done * 100), fills=new)
    first = reconcile(ours, theirs, POLICY)
    after = applied(ours, first)
    assert after.holdings.get(KEY, Holding(D(0))).quantity == done
    assert after.cash == theirs.cash
    second = reconcile(after, theirs, POLICY)
    assert [one for one in acts_of(second) if not isinstance(one, Cancel)] == [], "a second run changes nothing"
    assert all(isinstance(one, Cancel) for one in acts_of(second))
    adjusted = total(one.amount for one in after.movements if one.kind == "adjustment")
    assert adjusted == 0
    names = [one.discrepancy_id for one in first]
    assert names == [one.discrepancy_id for one in reconcile(ours, theirs, POLICY)], "found again, the same ids"


@settings(max_examples=examples(200))
@given(st.integers(0, 2**32))
def test_positions_and_cash_end_as_the_platforms_or_wait_for_a_person(seed: int) -> None:
    chance = random.Random(seed)
    ours = books(fills=HELD)
    held, cash = D(chance.randrange(-300, 1500)).scaleb(-2), D(chance.randrange(8_900_00, 10_100_00)).scaleb(-2)
    theirs = platform(held=str(held), cash=str(cash), has_old_fills=True)
    first = reconcile(ours, theirs, POLICY)
    after = applied(ours, first)
    second = reconcile(after, theirs, POLICY)
    assert acts_of(second) == []
    waits = [one for one in first if one.resolution == "blocking" or one.brings is not None]
    if not waits:
        difference = after.holdings.get(KEY, Holding(D(0))).quantity - held
        assert abs(difference) <= POLICY.dust
        assert after.cash == cash
        assert second == ()
