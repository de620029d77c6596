"""Values that break a rule of their table cannot be made: what SQLite cannot compare is held here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agent.trading.model import (
    Account,
    Decision,
    Fill,
    Instrument,
    Movement,
    Order,
    Position,
    Proposal,
    Quote,
    Verdict,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
D = Decimal
DECISION = Decision(decision_id="d", agent_id=1, cycle=1, market_id="m", made_at=NOW, as_of=NOW, action="buy")
PROPOSAL = Proposal(
    decision_id="d", market_id="m", outcome="", side="buy", quantity=D(1), reference=D(2), confidence=0.6
)
ORDER = Order(
    client_order_id="tm1",
    market_id="m",
    outcome="",
    side="buy",
    purpose="open",
    type="limit",
    time_in_force="gtc",
    quantity=D(10),
    limit_price=D(2),
    status="prepared",
    prepared_at=NOW,
)
FILL = Fill(fill_id="f", market_id="m", outcome="", side="buy", quantity=D(1), price=D(2), fee=D(0), ts=NOW)
QUOTE = Quote(market_id="m", ts=NOW, bid=D("0.48"), ask=D("0.51"))


def verdict(before: str, after: str, said: str) -> Verdict:
    return Verdict(rule="r", verdict=said, before=D(before), after=D(after), reason="")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: replace(DECISION, as_of=NOW + timedelta(seconds=1)), "lies after made_at"),
        (lambda: replace(DECISION, probability=1.01), "probability 1.01 is not in"),
        (lambda: replace(DECISION, confidence=60.0), "confidence 60.0 is not in"),
        (lambda: replace(DECISION, synthetic=True), "belongs to no cycle"),
        (lambda: replace(DECISION, made_at=NOW.replace(tzinfo=None)), "has no time zone"),
        (lambda: replace(PROPOSAL, quantity=D(0)), "is none"),
        (lambda: replace(PROPOSAL, quantity=D("1E-19")), "more than 18 places"),
        (lambda: verdict("9", "10", "allow"), "9 cannot become 10"),
        (lambda: verdict("9", "-1", "refuse"), "cannot become -1"),
        (lambda: verdict("10", "9", "allow"), "is no 'allow'"),
        (lambda: verdict("10", "0", "reduce"), "is no 'reduce'"),
        (lambda: replace(ORDER, quantity=D(0)), "is for 0"),
        (lambda: replace(ORDER, limit_price=None), "has no limit"),
        (lambda: replace(ORDER, limit_price=D(0)), "has no price"),
        (lambda: replace(ORDER, type="market", limit_price=None), "nothing says what order tm1 may cost"),
        (lambda: replace(FILL, quantity=D(-1)), "is of -1"),
        (lambda: replace(FILL, price=D(-1)), "has a price of -1"),
        (lambda: Movement(external_id="c", kind="settlement", amount=D(1), ts=NOW), "names its market"),
        (lambda: Movement(external_id="c", kind="deposit", amount=D(-1), ts=NOW), "a deposit of -1"),
        (lambda: Movement(external_id="c", kind="withdrawal", amount=D(1), ts=NOW), "below 0"),
        (lambda: Instrument(market_id="m", kind="spot", tick=D(0), lot=D(1)), "above 0"),
        (lambda: replace(QUOTE, last=D(1)), "a last price has a time"),
    ],
)
def test_a_broken_rule_is_named(make: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()


def test_ten_may_become_nine() -> None:
    assert verdict("10", "9", "reduce").after == 9
    assert verdict("10", "10", "allow").after == 10
    assert verdict("10", "0", "refuse").after == 0


def test_no_is_the_other_side_of_yes() -> None:
    assert (QUOTE.no.bid, QUOTE.no.ask, QUOTE.no.mid) == (D("0.49"), D("0.52"), D("0.505"))
    assert QUOTE.no.no == QUOTE
    assert replace(QUOTE, bid=None).no.ask is None


@pytest.mark.parametrize(
    ("bid", "ask", "mid"),
    [
        ("0.48", "0.51", "0.495"),
        (None, "1", None),
        ("1", None, None),
        ("2", "1", None),
        ("0", "1", None),
        ("1", "1", "1"),
    ],
)
def test_the_mid_is_that_of_a_book_with_two_sides(bid: str | None, ask: str | None, mid: str | None) -> None:
    quote = Quote(market_id="m", ts=NOW, bid=bid and D(bid), ask=ask and D(ask))  # type: ignore[arg-type]  # None or a number
    assert quote.mid == (None if mid is None else D(mid))


def test_equity_is_cash_and_positions_at_their_marks() -> None:
    held = (
        Position(market_id="m", outcome="", quantity=D("-2"), average=D(90), mark=D("100.5")),
        Position(market_id="b", outcome="no", quantity=D("10"), average=D("0.4"), mark=D("0.45")),
    )
    account = Account(cash=D("1000.10"), positions=held)
    assert account.equity == D("1000.10") - D(201) + D("4.5")
    assert account.position(("b", "no")) == held[1]
    assert account.position(("b", "yes")) is None


def test_no_digit_of_a_large_account_is_lost() -> None:
    """Python's own sums keep 28 digits."""
    one = Position(market_id="m", outcome="", quantity=D(1), average=D(1), mark=D("0.000000000000000001"))
    assert Account(cash=D("12345678901234567890"), positions=(one,)).equity == D(
        "12345678901234567890.000000000000000001"
    )


def test_what_rests_of_an_order() -> None:
    assert replace(ORDER, filled=D(4)).rest == 6
    assert replace(ORDER, filled=D(11)).rest == 0
    assert ORDER.price == 2
    assert replace(ORDER, type="market", limit_price=None, reference=D(3)).price == 3
