"""Books against the platform: the twenty-eight cases of the specification, and that twice is once."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.amounts import total
from agent.trading.model import Movement
from agent.trading.reconcile import reconcile
from agent.trading.reconcile.facts import (
    AdoptPosition,
    Ask,
    BookFill,
    BookMovement,
    Books,
    Cancel,
    Holding,
    SettleFill,
)
from agent.trading.states.permissions import Reason
from tests.examples import examples
from tests.unit.trading.books import (
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


@pytest.mark.parametrize(("held", "cash", "case"), [("20", "8000", 16), ("3", "9700", 16), ("-4", "10400", 19)])
def test_what_a_person_accepts_is_booked_and_only_that(held: str, cash: str, case: int) -> None:
    ours, theirs = books(fills=HELD), platform(held=held, cash=cash, has_old_fills=True)
    blocking = found(ours, theirs)[case]
    assert blocking.resolution == "blocking"
    policy = replace(POLICY, accepted=frozenset({blocking.id_of(0)}))
    accepted = found(ours, theirs, policy)[case]
    assert (accepted.resolution, accepted.id_of(0)) == ("by_person", blocking.id_of(0))
    after = applied(ours, reconcile(ours, theirs, policy))
    assert (after.holdings[KEY].quantity, after.cash) == (D(held), D(cash))
    assert reconcile(after, theirs, policy) == ()
    other = platform(held=held + "1", cash=cash, has_old_fills=True)
    assert found(ours, other, policy)[case].resolution == "blocking"


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
    silent = replace(theirs, mids={}, silent=frozenset({HELD[0].market_id}))  # nothing is booked without its price
    waiting = found(ours, silent)[16]
    assert (waiting.kind, waiting.resolution, waiting.acts, waiting.brings) == ("unpriced", "ignored", (), "mismatch")
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
    assert [one.note for one in asked] == [
        "the account held 3 of it before these books began",
        "an order to buy 10 rested before these books began; it is ours, and will be cancelled",
    ]
    (held,) = reconcile(new, platform(held="3"), POLICY)
    said = replace(POLICY, accepted=frozenset({held.id_of(new.agent_id)}))
    assert reconcile(new, platform(held="4"), said)[0].resolution == "blocking", "they saw another list"
    assert [one.key for one in reconcile(new, platform(listed("open"), held="3"), said)] == [KEY], "only what is new"
    adopted = applied(new, reconcile(new, platform(held="3"), said))
    assert (adopted.holdings[KEY].quantity, adopted.cash) == (D(3), D(10_000))
    others = replace(new, agent_id=2)
    second = reconcile(others, platform(held="3"), replace(said, accepted=frozenset({held.id_of(2)})))
    ids = [{one.fill_id for one in booked.fills} for booked in (adopted, applied(others, second))]
    assert ids[0].isdisjoint(ids[1]), "of an account that is opened again"
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
    names = [one.id_of(0) for one in first]
    assert names == [one.id_of(0) for one in reconcile(ours, theirs, POLICY)], "found again, the same ids"


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
