"""The books: fills, settlements and other cash in; positions, trades, cash and equity out. Pure.

    cash             = sum of movements - sum of side x quantity x price - sum of fees
    position value   = sum of quantity x mark
    equity           = cash + position value
                     = movements that are no settlement + realized - fees + unrealized

Both lines hold to the last digit, always: each product is rounded once, to 18 places, and what leaves a position's cost
is what its realized P&L is reckoned with. A Book that does not balance cannot be made.

Fills are booked in the order of their time, then of their id, in whatever order they arrive: the same fills give the
same books. A fill that the platform took back (F, and F + ":void") is as if it had never been. Nothing is realized by
opening; a fill that changes the sign closes what there is, then opens the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from agent.amounts import less, ratio, share, times, total
from agent.trading.model import ZERO, Fill, Key, Movement, Side

VOID = ":void"
FOUND = "found"  # the reason of cash that came in with a position that nobody knew of


@dataclass(frozen=True, slots=True)
class Line:
    """One position in the books. cost: what is held was bought for (below 0: sold short for), without fees; realized:
    P&L booked so far, before fees. opened, gone, fees_open: of the round trip that is under way: units opened, cost of
    those and what was taken for those that were closed; they become a Trade."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    opened_at: datetime | None = None
    opened: Decimal = ZERO
    opened_for: Decimal = ZERO
    closed_for: Decimal = ZERO
    fees_open: Decimal = ZERO
    first_order: str | None = None

    @property
    def average(self) -> Decimal:
        """Entry price of what is held; 0 where nothing is."""
        return ratio(self.cost, self.quantity) if self.quantity else ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A closed round trip. pnl: before fees. trade_id: made from what closed it."""

    trade_id: str
    market_id: str
    outcome: str
    side: Literal["long", "short"]
    opened_at: datetime
    closed_at: datetime
    quantity: Decimal
    entry: Decimal
    exit: Decimal
    fees: Decimal
    pnl: Decimal
    entry_order: str | None
    exit_order: str | None


@dataclass(frozen=True, kw_only=True)
class Book:
    """The account at one moment. values: quantity x mark of what is held. paid: movements that are no settlement.

    Raises AssertionError where the books do not balance: that is a fault of this module.
    """

    cash: Decimal
    paid: Decimal
    lines: Mapping[Key, Line]
    values: Mapping[Key, Decimal]
    trades: tuple[Trade, ...] = ()
    position_value: Decimal = field(init=False)
    equity: Decimal = field(init=False)

    def __post_init__(self) -> None:
        held = {key for key, line in self.lines.items() if line.quantity}
        assert held == set(self.values), f"marks and positions differ: {sorted(held ^ set(self.values))}"
        object.__setattr__(self, "position_value", total(self.values.values()))
        object.__setattr__(self, "equity", total((self.cash, self.position_value)))
        earned = total((self.paid, self.realized, self.fees.copy_negate(), self.unrealized))
        assert self.equity == earned, f"equity {self.equity} is not {earned}: paid, realized, fees and unrealized"

    @property
    def realized(self) -> Decimal:
        """P&L booked, before fees."""
        return total(line.realized for line in self.lines.values())

    @property
    def fees(self) -> Decimal:
        """All fees of fills."""
        return total(line.fees for line in self.lines.values())

    @property
    def unrealized(self) -> Decimal:
        """What is held at its marks, less what it cost."""
        return less(self.position_value, *(line.cost for line in self.lines.values()))


class Books:
    """Books that are being kept: `add` one event after the other, then `at` some marks. Events must come in order."""

    def __init__(self) -> None:
        self.cash, self.paid = ZERO, ZERO
        self.lines: dict[Key, Line] = {}
        self.trades: list[Trade] = []

    def add(self, event: Fill | Movement) -> None:
        """Book one fill, or cash that came or went."""
        if isinstance(event, Fill):
            self._fill(event)
        elif event.kind == "settlement":
            self._settle(event)
        else:
            self.cash = total((self.cash, event.amount))
            self.paid = total((self.paid, event.amount))

    def at(self, marks: Mapping[Key, Decimal]) -> Book:
        """The books at these marks. Raises KeyError where something is held that has none."""
        values = {key: times(line.quantity, marks[key]) for key, line in self.lines.items() if line.quantity}
        return Book(cash=self.cash, paid=self.paid, lines=dict(self.lines), values=values, trades=tuple(self.trades))

    def _fill(self, fill: Fill) -> None:
        line = self.lines.get(fill.key, Line())
        change = _signed(fill.quantity, fill.side)
        notional = times(change, fill.price)  # below 0: what a sale brings
        self.cash = less(self.cash, notional, fill.fee)
        closing = min(fill.quantity, line.quantity.copy_abs()) if change * line.quantity < 0 else ZERO
        opening = less(fill.quantity, closing)
        # Where the fill changes the sign, its fee and notional belong to both round trips, by quantity.
        fee_closing = share(fill.fee, closing, fill.quantity)
        notional_closing = times(_signed(closing, fill.side), fill.price)
        if closing:
            line = _closed(line, closing, notional_closing.copy_negate(), fee_closing)
            if not line.quantity:
                line = self._end(fill.key, line, fill.fill_id, fill.ts, fill.client_order_id)
        if opening:
            rest = less(notional, notional_closing)
            line = _opened(line, _signed(opening, fill.side), rest, less(fill.fee, fee_closing), fill)
        self.lines[fill.key] = line

    def _settle(self, movement: Movement) -> None:
        """A payout: cash, and the position is over. Where nothing is held, it is P&L all the same."""
        key = (movement.market_id or "", movement.outcome)
        line = self.lines.get(key, Line())
        self.cash = total((self.cash, movement.amount))
        if line.quantity:
            line = _closed(line, line.quantity.copy_abs(), movement.amount, ZERO)
            self.lines[key] = self._end(key, line, movement.external_id, movement.ts, None)
        else:
            self.lines[key] = replace(line, realized=total((line.realized, movement.amount)))

    def _end(self, key: Key, line: Line, cause: str, ts: datetime, order: str | None) -> Line:
        """Note the round trip that is over, and begin the next one."""
        assert line.opened_at is not None, "what is closed was opened"
        opened = line.opened.copy_abs()
        self.trades.append(
            Trade(
                trade_id=cause,
                market_id=key[0],
                outcome=key[1],
                side="long" if line.opened > 0 else "short",
                opened_at=line.opened_at,
                closed_at=ts,
                quantity=opened,
                entry=ratio(line.opened_for.copy_abs(), opened),
                exit=ratio(line.closed_for.copy_abs(), opened),
                fees=line.fees_open,
                pnl=less(line.closed_for, line.opened_for),
                entry_order=line.first_order,
                exit_order=order,
            )
        )
        return Line(realized=line.realized, fees=line.fees)


def _signed(quantity: Decimal, side: Side) -> Decimal:
    return quantity if side == "buy" else quantity.copy_negate()


def _opened(line: Line, signed: Decimal, notional: Decimal, fee: Decimal, fill: Fill) -> Line:
    """A position with `signed` units more of its own sign."""
    is_first = line.opened_at is None
    return replace(
        line,
        quantity=total((line.quantity, signed)),
        cost=total((line.cost, notional)),
        fees=total((line.fees, fee)),
        opened_at=fill.ts if is_first else line.opened_at,
        opened=total((line.opened, signed)),
        opened_for=total((line.opened_for, notional)),
        fees_open=total((line.fees_open, fee)),
        first_order=fill.client_order_id if is_first else line.first_order,
    )


def _closed(line: Line, closing: Decimal, brought: Decimal, fee: Decimal) -> Line:
    """A position with `closing` units less, which `brought` so much cash (below 0: what buying back a short cost)."""
    held = line.quantity.copy_abs()
    # The last unit takes the whole of what is left: no rounding stays behind.
    gone = line.cost if closing == held else share(line.cost, closing, held)
    rest = less(held, closing)
    return replace(
        line,
        quantity=rest if line.quantity > 0 else rest.copy_negate(),
        cost=less(line.cost, gone),
        realized=total((line.realized, brought, gone.copy_negate())),
        fees=total((line.fees, fee)),
        closed_for=total((line.closed_for, brought)),
        fees_open=total((line.fees_open, fee)),
    )


def fold(fills: Iterable[Fill], marks: Mapping[Key, Decimal], movements: Iterable[Movement] = ()) -> Book:
    """The books after all `fills` and `movements`, at these marks (units of account for one unit).

    Raises KeyError where something is held that has no mark, ValueError where a void has no fill it takes back.
    """
    return rebuilt(fills, movements).at(marks)


def rebuilt(fills: Iterable[Fill], movements: Iterable[Movement] = ()) -> Books:
    """The books made again from all that came. Raises ValueError as `fold`."""
    books = Books()
    for event in in_order(fills, movements):
        books.add(event)
    return books


def in_order(fills: Iterable[Fill], movements: Iterable[Movement] = ()) -> list[Fill | Movement]:
    """Events as they are booked, without fills that were taken back, each once. Cash that came at the time of a fill
    goes before it, a payout after it."""
    by_id = {one.fill_id: one for one in fills}
    voided = {name.removesuffix(VOID) for name in by_id if name.endswith(VOID)}
    lost = voided - set(by_id)
    if lost:
        raise ValueError(f"fills are taken back that are not in the books: {', '.join(sorted(lost))}")
    found: list[tuple[datetime, int, str, Fill | Movement]] = [
        (one.ts, 1, one.fill_id, one)
        for one in by_id.values()
        if one.fill_id not in voided and not one.fill_id.endswith(VOID)
    ]
    unique = {one.external_id: one for one in movements}
    found += [(one.ts, 2 if one.kind == "settlement" else 0, one.external_id, one) for one in unique.values()]
    return [event for _, _, _, event in sorted(found, key=lambda one: one[:3])]


def filled_of(fills: Iterable[Fill], client_order_id: str) -> tuple[Decimal, Decimal]:
    """Filled quantity and average price of an order: what stands in its row. (0, 0) where nothing is filled."""
    return filled_by_order(fills).get(client_order_id, (ZERO, ZERO))


def filled_by_order(fills: Iterable[Fill]) -> dict[str, tuple[Decimal, Decimal]]:
    """Filled quantity and average price of all orders of which something is filled."""
    events: dict[str, list[Fill]] = {}
    for one in in_order(fills):
        if isinstance(one, Fill) and one.client_order_id is not None:
            events.setdefault(one.client_order_id, []).append(one)
    found = {}
    for its, executed in events.items():
        quantity = total(one.quantity for one in executed)
        found[its] = quantity, ratio(total(times(one.quantity, one.price) for one in executed), quantity)
    return found


def guesses_at(fill: Fill, fills: Iterable[Fill], movements: Iterable[Movement] = ()) -> list[Fill]:
    """Those of `fills` that were inferred for want of `fill`, which is listed at last: they are to be taken back.

    What was inferred of its order always is: what the order has filled beyond what is listed is inferred again. What
    led from our position to the platform's is where it came after `fill`; but not what a position was found with,
    which came in with its cash.
    """
    return _standing_for(fill, _guesses(fills), _found_at(movements))


def with_fills(known: Iterable[Fill], new: Iterable[Fill], movements: Iterable[Movement] = ()) -> tuple[Fill, ...]:
    """`known` with `new` fills booked, and what was inferred for want of them taken back."""
    found, found_at = list(known), _found_at(movements)
    guesses = _guesses(found)
    for fill in new:
        added = [*(void_of(one, fill.ts) for one in _standing_for(fill, guesses, found_at)), fill]
        found += added
        if any(one.inferred for one in added):
            guesses = _guesses([*guesses, *added])
    return tuple(found)


def _guesses(fills: Iterable[Fill]) -> list[Fill]:
    """Fills that were inferred and not taken back."""
    inferred = [one for one in fills if one.inferred]
    ids = {one.fill_id for one in inferred}  # what takes one back is inferred as well, see `void_of`
    return [one for one in inferred if not one.fill_id.endswith(VOID) and one.fill_id + VOID not in ids]


def _found_at(movements: Iterable[Movement]) -> set[datetime]:
    """When positions were found."""
    return {one.ts for one in movements if one.reason == FOUND}


def _standing_for(fill: Fill, guesses: Iterable[Fill], found_at: Set[datetime]) -> list[Fill]:
    """Those of `guesses` that stand for `fill`, see `guesses_at`."""
    return [
        one
        for one in guesses
        if not fill.inferred
        and (one.key, one.side) == (fill.key, fill.side)
        and (
            one.client_order_id == fill.client_order_id
            if one.client_order_id is not None
            else one.ts > fill.ts and one.ts not in found_at
        )
    ]


def void_of(fill: Fill, ts: datetime) -> Fill:
    """What takes a fill back that the platform says failed, or that was inferred wrongly: the other side, its fee
    returned."""
    return replace(
        fill,
        fill_id=fill.fill_id + VOID,
        side="sell" if fill.side == "buy" else "buy",
        fee=fill.fee.copy_negate(),
        ts=ts,
        settlement="failed",
        inferred=True,
    )
