"""The books: by example with every number written down, and by property to the last digit after every fill."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.amounts import total
from agent.trading.ledger import Book, Books, Line, filled_of, fold, in_order, void_of
from agent.trading.model import Fill, Key, Movement, MovementKind, Outcome, Side
from tests.examples import examples

D = Decimal
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
M: Key = ("m", "")


def fill(
    number: int,
    side: Side,
    quantity: str,
    price: str,
    fee: str = "0",
    *,
    market: str = "m",
    outcome: Outcome = "",
    order: str | None = "tm1",
) -> Fill:
    return Fill(
        fill_id=f"f{number:03}",
        market_id=market,
        outcome=outcome,
        side=side,
        quantity=D(quantity),
        price=D(price),
        fee=D(fee),
        ts=NOW + timedelta(seconds=number),
        client_order_id=order,
    )


def moved(number: int, kind: MovementKind, amount: str, market: str | None = None, outcome: Outcome = "") -> Movement:
    return Movement(
        external_id=f"c{number}",
        kind=kind,
        amount=D(amount),
        ts=NOW + timedelta(seconds=number),
        market_id=market,
        outcome=outcome,
    )


DEPOSIT = moved(0, "deposit", "10000")


def test_a_long_that_is_closed_in_two_steps() -> None:
    fills = [
        fill(1, "buy", "2", "100", "0.20"),
        fill(2, "buy", "1", "130", "0.13"),
        fill(3, "sell", "1", "120", "0.12"),
    ]
    book = fold(fills, {M: D(125)}, [DEPOSIT])
    line = book.lines[M]
    assert (line.quantity, line.average) == (D(2), D(110))
    assert (line.realized, line.fees) == (D(10), D("0.45"))
    assert book.cash == D(10000) - 200 - 130 + 120 - D("0.45")
    assert (book.position_value, book.unrealized) == (D(250), D(30))
    assert book.equity == D("10039.55")
    assert book.trades == ()
    book = fold([*fills, fill(4, "sell", "2", "90", "0.18", order="tm2")], {}, [DEPOSIT])
    (trade,) = book.trades
    assert (trade.side, trade.quantity, trade.entry, trade.exit) == ("long", D(3), D(110), D(100))
    assert (trade.pnl, trade.fees) == (D(-30), D("0.63"))
    assert (trade.entry_order, trade.exit_order, trade.trade_id) == ("tm1", "tm2", "f004")
    assert (trade.opened_at, trade.closed_at) == (fills[0].ts, NOW + timedelta(seconds=4))
    assert book.equity == book.cash == D(10000) - 30 - D("0.63")


def test_a_short_earns_when_the_price_falls() -> None:
    book = fold([fill(1, "sell", "5", "40", "1"), fill(2, "buy", "2", "30", "0.5")], {M: D(35)}, [DEPOSIT])
    line = book.lines[M]
    assert (line.quantity, line.average, line.realized) == (D(-3), D(40), D(20))
    assert (book.position_value, book.unrealized) == (D(-105), D(15))
    assert book.equity == D(10000) + 20 + 15 - D("1.5")


def test_a_fill_that_changes_the_sign_closes_one_and_opens_another() -> None:
    fills = [fill(1, "buy", "1", "100", "0.1"), fill(2, "sell", "3", "110", "0.3", order="tm2")]
    book = fold(fills, {M: D(105)}, [DEPOSIT])
    line, (trade,) = book.lines[M], book.trades
    assert (line.quantity, line.average, line.opened_at) == (D(-2), D(110), fills[1].ts)
    assert (trade.pnl, trade.fees, trade.exit) == (D(10), D("0.2"), D(110))
    assert line.fees_open == D("0.2"), "two thirds of the fee belong to what was opened"
    assert (line.first_order, trade.entry_order, trade.exit_order) == ("tm2", "tm1", "tm2")
    assert book.equity == D(10000) + 10 + 10 - D("0.4")


def test_yes_and_no_are_two_positions_and_are_paid_out() -> None:
    fills = [
        fill(1, "buy", "100", "0.40", "1.68", outcome="yes"),
        fill(2, "buy", "50", "0.62", "0.82", outcome="no"),
    ]
    yes, no = ("m", "yes"), ("m", "no")
    book = fold(fills, {yes: D("0.39"), no: D("0.6")}, [DEPOSIT])
    assert book.position_value == D(39) + D(30)
    assert book.equity == D(10000) - 1 - 1 - D("2.5")
    paid = [DEPOSIT, moved(10, "settlement", "0", "m", "yes"), moved(11, "settlement", "50", "m", "no")]
    book = fold(fills, {}, paid)
    assert [(one.outcome, one.pnl, one.exit) for one in book.trades] == [("yes", D(-40), D(0)), ("no", D(19), D(1))]
    assert book.equity == book.cash == D(10000) - 40 + 19 - D("2.5")


def test_a_fraction_may_be_paid_and_a_short_pays() -> None:
    book = fold([fill(1, "sell", "10", "0.7", outcome="yes")], {}, [DEPOSIT, moved(2, "settlement", "-5", "m", "yes")])
    assert book.trades[0].pnl == D(2)
    assert book.cash == D(10002)


def test_deposits_fees_and_funding_are_no_profit() -> None:
    others = [moved(1, "withdrawal", "-100"), moved(2, "fee", "-1"), moved(3, "funding", "0.5")]
    book = fold([], {}, [DEPOSIT, *others])
    assert (book.cash, book.paid, book.realized) == (D("9899.5"), D("9899.5"), D(0))


def test_a_fill_listed_twice_is_booked_once() -> None:
    one = fill(1, "buy", "1", "100")
    assert fold([one, one], {M: D(100)}, [DEPOSIT, DEPOSIT]) == fold([one], {M: D(100)}, [DEPOSIT])


def test_a_failed_fill_is_as_if_it_had_never_been() -> None:
    """Nothing is realized by undoing it, at whatever price others came in between."""
    first, failed, last = fill(1, "buy", "1", "100", "1"), fill(2, "buy", "1", "200", "1"), fill(3, "sell", "1", "150")
    undone = void_of(failed, NOW + timedelta(hours=1))
    assert (undone.fill_id, undone.side, undone.fee, undone.quantity) == ("f002:void", "sell", D(-1), D(1))
    assert fold([first, failed, last, undone], {}, [DEPOSIT]) == fold([first, last], {}, [DEPOSIT])
    with pytest.raises(ValueError, match="not in the books: f002"):
        fold([first, undone], {M: D(1)})


def test_a_fill_that_comes_late_gives_the_same_books() -> None:
    fills = [fill(1, "buy", "1", "100"), fill(2, "sell", "3", "110"), fill(3, "buy", "2", "90")]
    assert fold([fills[2], fills[0], fills[1]], {}, [DEPOSIT]) == fold(fills, {}, [DEPOSIT])


def test_cash_comes_before_a_fill_of_the_same_time_and_a_payout_after_it() -> None:
    bought = replace(fill(1, "buy", "1", "0.5"), ts=NOW)
    paid = replace(moved(0, "settlement", "1", "m"), ts=NOW, external_id="a")
    assert in_order([bought], [paid, DEPOSIT]) == [DEPOSIT, bought, paid]


def test_what_is_held_needs_a_mark() -> None:
    with pytest.raises(KeyError):
        fold([fill(1, "buy", "1", "100")], {})


def test_books_that_do_not_balance_cannot_be_made() -> None:
    good = fold([fill(1, "buy", "1", "100")], {M: D(100)}, [DEPOSIT])
    with pytest.raises(AssertionError, match="is not 10000"):
        Book(cash=good.cash + D("1E-18"), paid=good.paid, lines=good.lines, values=good.values)
    with pytest.raises(AssertionError, match="marks and positions differ"):
        Book(cash=good.cash, paid=good.paid, lines={M: Line()}, values=good.values)


def test_an_order_that_fills_in_parts_and_beyond() -> None:
    parts = [
        fill(1, "buy", "4", "10"),
        fill(2, "buy", "6", "11"),
        fill(3, "buy", "2", "12"),
        fill(4, "buy", "1", "1", order="x"),
    ]
    assert filled_of(parts, "tm1") == (D(12), D("10.833333333333333333"))
    assert filled_of(parts, "tm9") == (D(0), D(0))


def test_no_digit_is_lost_in_a_large_account() -> None:
    large = moved(0, "deposit", "12345678901234567890")
    book = fold([fill(1, "buy", "0.000000000000000001", "1")], {M: D(1)}, [large])
    assert book.cash == D("12345678901234567889.999999999999999999")


# --- by property ---------------------------------------------------------------------------------------------------

quantities = st.decimals(min_value="0.00000001", max_value="100000", places=8)
prices = st.decimals(min_value="0.0001", max_value="100000", places=6)
fees = st.decimals(min_value="-1", max_value="100", places=4)
keys = st.sampled_from([("m", ""), ("b", "yes"), ("b", "no")])
some_fills = st.lists(st.tuples(keys, st.sampled_from(["buy", "sell"]), quantities, prices, fees), max_size=40)


def made(rows: list[tuple[Key, Side, Decimal, Decimal, Decimal]]) -> list[Fill]:
    return [
        Fill(
            fill_id=f"f{number:06}",
            market_id=key[0],
            outcome=key[1],  # type: ignore[arg-type]  # one of ours
            side=side,
            quantity=quantity,
            price=price,
            fee=fee,
            ts=NOW + timedelta(seconds=number),
        )
        for number, (key, side, quantity, price, fee) in enumerate(rows)
    ]


@settings(max_examples=examples(60))
@given(some_fills, st.randoms(use_true_random=False))
def test_books_balance_after_every_fill_in_whatever_order(
    rows: list[tuple[Key, Side, Decimal, Decimal, Decimal]], chance: random.Random
) -> None:
    fills, books, marks = made(rows), Books(), {key: D("123.456789") for key in (("m", ""), ("b", "yes"), ("b", "no"))}
    for one in fills:
        books.add(one)
        book = books.at(marks)  # balances, or there is none
        held = total(
            two.quantity * (1 if two.side == "buy" else -1) for two in fills if two.ts <= one.ts and two.key == one.key
        )
        assert book.lines[one.key].quantity == held
        assert (held == 0) == (book.lines[one.key].cost == 0)
    book = books.at(marks)
    for key, line in book.lines.items():
        ended = total(one.pnl for one in book.trades if (one.market_id, one.outcome) == key)
        under_way = total((line.closed_for, -line.opened_for, line.cost))
        assert total((ended, under_way)) == line.realized
        assert (
            total(one.fees for one in book.trades if (one.market_id, one.outcome) == key) + line.fees_open == line.fees
        )
    shuffled = list(fills)
    chance.shuffle(shuffled)
    assert fold(shuffled, marks) == book


def test_many_fills_in_a_row() -> None:
    """EXAMPLES=100000 is the long form: the books balance to the last digit after each of so many fills."""
    chance, books, marks = random.Random(18), Books(), {M: D("101.25")}
    books.add(moved(0, "deposit", "1000000"))
    for number in range(examples(2_000)):
        side: Side = "buy" if chance.random() < 0.5 else "sell"
        quantity, price = D(chance.randrange(1, 10**9)).scaleb(-8), D(chance.randrange(1, 10**8)).scaleb(-6)
        one = fill(number, side, str(quantity), str(price), str(D(chance.randrange(-10, 1000)).scaleb(-4)))
        books.add(one)
        books.trades.clear()  # each book copies them
        assert books.at(marks).equity == books.cash + books.lines[M].quantity * marks[M]
