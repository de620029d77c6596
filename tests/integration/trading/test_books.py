"""The books in SQL, by property: whatever is filled, in whatever order it arrives, they balance after every fill."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.store.database.engine import Database
from agent.store.ledger_tables import equity, fills, positions, trades
from agent.store.trading import booking
from agent.trading.ledger import rebuilt
from agent.trading.measures.marks import Mark, MarkKind
from agent.trading.model import Fill, Key, Side, movement_of
from agent.trading.run import Trader
from agent.trading.steps.booking import book_fill
from agent.trading.steps.desk import fill_of
from tests.examples import examples
from tests.paper import MARKET, START, D, MovedClock, feed_of, trader

ETH = "test:ETH-USD"
KEYS: tuple[Key, ...] = ((MARKET, ""), (ETH, ""))
CENT = D("0.01")
PRICES = {(MARKET, ""): D("101.37"), (ETH, ""): D("7.123456")}
MARKS = {key: Mark(price, START, MarkKind.QUOTE, is_stale=False) for key, price in PRICES.items()}

drawn = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 10**10),  # quantity, in the eighth place
        st.integers(1, 10**10),  # price, in the sixth
        st.integers(-(10**4), 10**6),  # fee, in the fourth
        st.integers(0, 20),  # seconds: several at once, and late ones
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture
def one(database: Database) -> Iterator[Trader]:
    """A trader with an opened account that holds nothing."""
    feed = feed_of({MARKET: [100.0] * 3, ETH: [7.0] * 3}, {})
    with trader(database, feed, MovedClock(), ("BTCUSD", "ETHUSD")) as made:
        made.recover()
        yield made


class Sums:
    """What the account holds, by sums alone: nothing of the ledger's arithmetic."""

    def __init__(self, cash: Decimal) -> None:
        self.cash, self.held = cash, dict.fromkeys(KEYS, D(0))

    def add(self, fill: Fill) -> None:
        sign = 1 if fill.side == "buy" else -1
        self.held[fill.key] += sign * fill.quantity
        self.cash -= sign * fill.quantity * fill.price + fill.fee


def require_balance(conn: Any, one: Trader, sums: Sums) -> None:
    """The newest row of `equity`, and `positions`, are what the sums say."""
    newest = booking.newest_equity(conn, one.desk.agent_id)
    assert newest is not None
    held = {(row["market_id"], row["outcome"]): row for row in booking.positions_of(conn, one.desk.agent_id)}
    assert {key: held[key]["quantity"] if key in held else D(0) for key in KEYS} == sums.held
    worth = sum((quantity * PRICES[key] for key, quantity in sums.held.items()), D(0))
    assert newest["equity"] == newest["cash"] + newest["position_value"]
    assert abs(newest["cash"] - sums.cash) < CENT
    assert abs(newest["equity"] - sums.cash - worth) < CENT
    open_cost = sum((row["quantity"] * row["average_price"] for row in held.values()), D(0))
    earned = sum((row["realized"] - row["fees"] for row in held.values()), D(0)) + worth - open_cost
    assert abs(newest["equity"] - 10_000 - earned) < CENT


def book(one: Trader, sums: Sums, fill: Fill) -> None:
    with one.desk.step("test") as conn:
        assert book_fill(conn, one.desk, fill, MARKS, START + timedelta(minutes=1))
        sums.add(fill)
        require_balance(conn, one, sums)
        assert not book_fill(conn, one.desk, fill, MARKS, START + timedelta(minutes=1))  # a second time is none


def require_rebuilt(one: Trader) -> None:
    """Made again from fills and cash alone, everything is as it stands."""
    with one.desk.database.reading() as connections:
        conn = connections.project
        fills = [fill_of(row) for row in booking.fills_of(conn, "paper", one.desk.held.account_ref)]
        again = rebuilt(
            fills, [movement_of(row) for row in booking.movements_of(conn, "paper", one.desk.held.account_ref)]
        )
        newest = booking.newest_equity(conn, one.desk.agent_id)
        assert newest is not None
        assert newest["cash"] == again.cash
        for row in booking.positions_of(conn, one.desk.agent_id):
            line = again.lines[row["market_id"], row["outcome"]]
            says = (row["quantity"], row["average_price"], row["realized"], row["fees"])
            assert says == (line.quantity, line.average, line.realized, line.fees)
        ended = booking.trades_of(conn, one.desk.agent_id)
        assert sorted(each["pnl"] for each in ended) == sorted(each.pnl for each in again.trades)


def filled(number: int, key: Key, side: Side, quantity: int, price: int, fee: int, second: int) -> Fill:
    return Fill(
        fill_id=f"f{number:06}",
        market_id=key[0],
        outcome="",
        side=side,
        quantity=D(quantity).scaleb(-8),
        price=D(price).scaleb(-6),
        fee=D(fee).scaleb(-4),
        ts=START + timedelta(seconds=second),
    )


def cash_of(one: Trader) -> Decimal:
    with one.desk.database.reading() as connections:
        newest = booking.newest_equity(connections.project, one.desk.agent_id)
    assert newest is not None
    return Decimal(newest["cash"])


@settings(
    max_examples=min(examples(15), 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=drawn)
def test_books_balance_to_the_cent_after_every_fill(one: Trader, rows: list[Any]) -> None:
    with one.desk.step("test") as conn:  # each example begins with empty books
        _emptied(conn)
        before = booking.newest_equity(conn, one.desk.agent_id)
        assert before is not None
        booking.put_equity(conn, {**before, "cash": D(10_000), "equity": D(10_000), "position_value": D(0)})
    sums = Sums(D(10_000))
    for number, row in enumerate(rows):
        book(one, sums, filled(number, *row))
    require_rebuilt(one)


def _emptied(conn: Any) -> None:
    for table in (trades, positions, fills):
        conn.execute(table.delete())
    conn.execute(equity.delete().where(equity.c.ts > START))


def test_many_fills_balance_one_after_the_other(one: Trader) -> None:
    """EXAMPLES=100000 is the long form, each costs the same; as many are tried on the ledger alone, see test_ledger."""
    chance, sums = random.Random(18), Sums(cash_of(one))
    for number in range(examples(60)):
        key = chance.choice(KEYS)
        held = sums.held[key]
        side: Side = "buy" if held < 0 or (held == 0 and chance.random() < 0.5) else "sell"
        quantity = int(held.copy_abs().scaleb(8)) if held and chance.random() < 0.5 else chance.randrange(1, 10**9)
        book(one, sums, filled(number, key, side, quantity, chance.randrange(1, 10**8), chance.randrange(9), number))
    require_rebuilt(one)


def test_a_fill_reads_no_more_the_more_there_are(one: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fill changes the sign: what is open is of the newest one alone."""
    read, real = [], booking.fills_of

    def counted(*arguments: Any, **more: Any) -> list[Any]:
        rows = real(*arguments, **more)
        read.append(len(rows))
        return rows

    monkeypatch.setattr("agent.store.trading.booking.fills_of", counted)
    sums = Sums(cash_of(one))
    for number in range(30):
        side: Side = "sell" if number % 2 else "buy"
        book(one, sums, filled(number, KEYS[0], side, (2 if number else 1) * 10**7 + number, 10**8 - number, 5, number))
    assert max(read) == 2
    monkeypatch.undo()
    require_rebuilt(one)
