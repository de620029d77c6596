"""Fills, positions and cash against the platform's: cases 16 and 18 to 26. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agent.amounts import figure_text, less, ratio, times, total
from agent.trading.ledger import FOUND, VOID, filled_of, void_of
from agent.trading.model import ZERO, Fill, Key, Movement, Order, Side
from agent.trading.reconcile.facts import (
    NEW_BOOKS,
    AdoptPosition,
    Ask,
    BookFill,
    BookMovement,
    Books,
    Discrepancy,
    Holding,
    MoveOrder,
    PlatformOrder,
    Policy,
    SettleFill,
    Snapshot,
    inferred_id,
    is_recent,
    listed_fills,
    young_keys,
)
from agent.trading.states.orders import FINAL, LATE_FILL, OVERFILL, OrderEvent, fill_event, is_ours
from agent.trading.states.permissions import Reason

NOTHING = Holding(ZERO)
_NO_PRICE = "nothing says what it is worth: the platform has neither its average price nor a quote"


def compare_fills(books: Books, platform: Snapshot, policy: Policy) -> Iterator[Discrepancy]:
    """Fills that the books lack, that differ, that settled or failed."""
    known, orders = {one.fill_id: one for one in books.fills}, {one.client_order_id: one for one in books.orders}
    fills = listed_fills(books, platform)
    for fill in platform.fills:
        if books.opened_at is not None and fill.ts <= books.opened_at:
            continue
        ours = known.get(fill.fill_id)
        if ours is None:
            if not is_recent(fill.ts, platform, policy):
                yield _missed(fill, orders.get(fill.client_order_id or ""), fills, policy)
        elif fill.settlement == "failed" and ours.settlement != "failed" and fill.fill_id + VOID not in known:
            yield _fill(fill, 25, "fill_failed", (BookFill(void_of(ours, platform.at)),), alert=True)
        elif fill.settlement == "confirmed" and ours.settlement == "pending":
            yield _fill(fill, 24, "fill_confirmed", (SettleFill(fill.fill_id),))
        elif (fill.price, fill.fee) != (ours.price, ours.fee) and not _is_adjusted(fill, books):
            yield _fill(fill, 23, "fill_differs", (BookMovement(_difference(ours, fill)),))


def _missed(fill: Fill, order: Order | None, fills: Sequence[Fill], policy: Policy) -> Discrepancy:
    """A fill that the books lack: of a live order, of one that was over, or of nobody's. fills: all there are."""
    if order is None:
        return _fill(fill, 17, "external_fill", (BookFill(replace(fill, client_order_id=None)),))
    if order.status not in FINAL:
        return _fill(fill, 9, "missed_fill", (BookFill(fill),))
    filled, _ = filled_of(fills, order.client_order_id)
    event = fill_event(order.quantity, filled, policy.dust)
    acts = (BookFill(fill), MoveOrder(order.client_order_id, event))
    if event is OrderEvent.OVERFILL:
        return _fill(fill, 14, OVERFILL, acts, alert=True, brings=Reason.OVERFILL)
    return _fill(fill, 14, LATE_FILL, acts, alert=True)


def compare_holdings(
    books: Books, holdings: Mapping[Key, Holding], platform: Snapshot, policy: Policy
) -> Iterator[Discrepancy]:
    """Positions. `holdings`: ours, with what compare_fills found booked. Where the platform's could not be read there
    is no verdict: that is never flat."""
    if platform.holdings is None:
        return
    for key in sorted({*holdings, *platform.holdings} - young_keys(books, platform, policy)):
        ours, theirs = holdings.get(key, NOTHING), platform.holdings.get(key, NOTHING)
        difference = less(theirs.quantity, ours.quantity)
        if difference.copy_abs() > policy.dust:
            yield _holding(key, ours, theirs, books, platform, policy)


def compare_cash(
    books: Books, cash: Decimal, platform: Snapshot, policy: Policy, *, is_moving: bool = False
) -> Iterator[Discrepancy]:
    """Cash. `cash`: ours, with all that was found before booked. What is listed is booked; the rest is judged unless it
    `is_moving`."""
    known = {one.external_id for one in books.movements}
    since = books.opened_at  # what came before is in the cash that the books were opened with
    new = [one for one in platform.movements if one.external_id not in known and (since is None or one.ts > since)]
    for one in new:
        yield _cash(22, one.kind, "corrected", cash, platform, (BookMovement(one),), name=one.external_id)
    rest = less(platform.cash, cash, *(one.amount for one in new))
    if not rest or is_moving:
        return
    if rest.copy_abs() <= times(books.equity, policy.rounding):
        name = inferred_id("cash", books.agent_id, cash, platform.cash, len(books.movements))
        movement = Movement(external_id=name, kind="adjustment", amount=rest, ts=platform.at, reason="rounding of fees")
        yield _cash(22, "cash_rounding", "corrected", cash, platform, (BookMovement(movement),))
    else:
        yield _cash(22, "cash_mismatch", "ignored", cash, platform, (), brings=Reason.MISMATCH)


def _holding(key: Key, ours: Holding, theirs: Holding, books: Books, platform: Snapshot, policy: Policy) -> Discrepancy:
    if not theirs.quantity and key in platform.payouts:
        amount = times(ours.quantity, platform.payouts[key])
        paid = Movement(
            external_id=f"settlement:{key[0]}:{key[1]}",
            kind="settlement",
            amount=amount,
            ts=platform.at,
            market_id=key[0],
            outcome=key[1],  # type: ignore[arg-type]  # one of ours
        )
        return _position(20, "settled", "corrected", key, ours, theirs, (BookMovement(paid),))
    if not ours.quantity:
        return _found(key, theirs, books, platform, policy)
    if ours.quantity * theirs.quantity < 0:
        found = _position(19, "other_side", "blocking", key, ours, theirs, ())
        return _if_accepted(found, ours, theirs, books, platform, policy)
    if not platform.has_old_fills:
        return _position(16, "unexplained", "ignored", key, ours, theirs, (Ask(None),))
    if key[0] in platform.silent:
        return _waiting(key, ours, theirs)
    if key not in platform.mids and theirs.average is None:
        return _position(16, "no_price", "blocking", key, ours, theirs, (), note=_NO_PRICE)
    fill = _explaining(key, ours, theirs, books, platform)
    if not theirs.quantity:
        return _position(21, "external_close", "corrected", key, ours, theirs, (BookFill(fill),), alert=True)
    if times(fill.quantity, fill.price) > times(books.equity, policy.mismatch):
        found = _position(16, "mismatch", "blocking", key, ours, theirs, (), brings=Reason.MISMATCH)
        return _if_accepted(found, ours, theirs, books, platform, policy)
    return _position(16, "mismatch", "corrected", key, ours, theirs, (BookFill(fill),), alert=True)


def _waiting(key: Key, ours: Holding, theirs: Holding) -> Discrepancy:
    """What is booked has its price: where it cannot be asked now, nothing is, and nothing is opened until it can."""
    return _position(16, "unpriced", "ignored", key, ours, theirs, (), brings=Reason.MISMATCH)


def _if_accepted(
    found: Discrepancy, ours: Holding, theirs: Holding, books: Books, platform: Snapshot, policy: Policy
) -> Discrepancy:
    """A difference of which a person said that the platform is right is booked, through zero in two steps. It is the
    very one that they saw: other quantities have another id, and block again."""
    assert found.key is not None, "it is of a position"
    if found.id_of(books.agent_id) not in policy.accepted:
        return found
    if ours.quantity * theirs.quantity > 0:
        fills = [_explaining(found.key, ours, theirs, books, platform)]
    else:
        close = platform.mids.get(found.key, theirs.average)
        if close is None:
            return found
        opened = theirs.average if theirs.average is not None else close
        away = ours.quantity.copy_negate()
        fills = [
            _fill_of(found.key, away, close, books, platform, "accepted"),
            _fill_of(found.key, theirs.quantity, opened, books, platform, "accepted"),
        ]
    return replace(found, resolution="by_person", acts=tuple(BookFill(one) for one in fills), brings=None, alert=False)


def open_books(books: Books, platform: Snapshot, policy: Policy) -> Iterator[Discrepancy]:
    """New books: cash comes in as a deposit. What is held or rests already is listed, and waits for a person's word: on
    that very list, so that what came since is listed, too. Orders are then those of opened books."""
    if platform.holdings is None:
        yield _cash(26, "unreadable", "blocking", ZERO, platform, (), note="its positions could not be read")
        return
    held = {key: one for key, one in sorted(platform.holdings.items()) if one.quantity.copy_abs() > policy.dust}
    listed = [_held_before(key, theirs) for key, theirs in held.items()]
    listed += [_resting_before(one) for one in platform.orders if one.status == "open"]
    unseen = [one for one in listed if one.id_of(books.agent_id) not in policy.accepted]
    if unseen:
        yield from unseen
        return
    if platform.cash:
        kind: Any = "deposit" if platform.cash > 0 else "withdrawal"
        name = f"opening:{books.agent_id}"
        paid = Movement(external_id=name, kind=kind, amount=platform.cash, ts=platform.at, reason="opening")
        yield _cash(26, "opening", "corrected", ZERO, platform, (BookMovement(paid),))
    for key, theirs in held.items():
        yield _found(key, theirs, books, platform, policy)


def _held_before(key: Key, theirs: Holding) -> Discrepancy:
    note = f"the account held {figure_text(theirs.quantity)} of it before these books began"
    return _position(26, NEW_BOOKS, "blocking", key, NOTHING, theirs, (), note=note)


def _resting_before(one: PlatformOrder) -> Discrepancy:
    whose = "ours, and will be cancelled" if is_ours(one.client_order_id) else "somebody else's, and is left alone"
    what = f"an order to {one.side} {figure_text(one.quantity)} rested before these books began"
    return Discrepancy(
        case=26,
        kind=NEW_BOOKS,
        resolution="blocking",
        key=(one.market_id, one.outcome),
        client_order_id=one.client_order_id,
        platform={"order": one.platform_order_id, "quantity": one.quantity, "side": one.side},
        note=f"{what}; it is {whose}",
        alert=True,
    )


def _found(key: Key, theirs: Holding, books: Books, platform: Snapshot, policy: Policy) -> Discrepancy:
    """A position that the books know nothing of. It was paid for before: what it cost comes in with it, as a flow that
    is no gain and no loss."""
    price = theirs.average if theirs.average is not None else platform.mids.get(key)
    if price is None and key[0] in platform.silent:
        return _waiting(key, NOTHING, theirs)
    if price is None:
        return _position(18, "no_price", "blocking", key, NOTHING, theirs, (), note=_NO_PRICE)
    fill = _fill_of(key, theirs.quantity, price, books, platform, FOUND)
    worth = times(theirs.quantity, price)
    acts: list[Any] = []
    if worth:
        kind: Any = "deposit" if worth > 0 else "withdrawal"
        acts.append(
            BookMovement(Movement(external_id=fill.fill_id, kind=kind, amount=worth, ts=platform.at, reason=FOUND))
        )
    acts += [BookFill(fill), AdoptPosition(key, theirs.quantity, policy.adopts)]
    return _position(18, "found_position", "adopted", key, NOTHING, theirs, tuple(acts), alert=True)


def _explaining(key: Key, ours: Holding, theirs: Holding, books: Books, platform: Snapshot) -> Fill:
    """A fill that leads from our position to theirs: at the price that makes their average right where it grew, else at
    the mid."""
    change = less(theirs.quantity, ours.quantity)
    price = platform.mids.get(key)
    grew = theirs.quantity.copy_abs() > ours.quantity.copy_abs()
    if grew and theirs.average is not None and ours.average is not None:
        worth = less(times(theirs.average, theirs.quantity), times(ours.average, ours.quantity))
        price = ratio(worth, change) if worth * change > 0 else price
    if price is None:
        price = theirs.average
    assert price is not None, "the caller asked for a price"
    return _fill_of(key, change, price, books, platform, "mismatch")


def _fill_of(key: Key, change: Decimal, price: Decimal, books: Books, platform: Snapshot, why: str) -> Fill:
    """A fill that nobody listed. Its id says how many fills came before: the same difference may come again."""
    before = sum(one.key == key for one in books.fills)
    side: Side = "buy" if change > 0 else "sell"
    return Fill(
        fill_id=inferred_id(why, books.agent_id, key, change, price, before),
        market_id=key[0],
        outcome=key[1],  # type: ignore[arg-type]  # one of ours
        side=side,
        quantity=change.copy_abs(),
        price=price,
        fee=ZERO,
        ts=platform.at,
        inferred=True,
    )


def _difference(ours: Fill, theirs: Fill) -> Movement:
    """What the platform's price and fee make of our cash: ours are kept."""
    amount = less(_paid(ours), _paid(theirs))
    name = _adjustment_id(theirs)
    return Movement(external_id=name, kind="adjustment", amount=amount, ts=theirs.ts, reason=theirs.fill_id)


def _paid(fill: Fill) -> Decimal:
    """Cash that a fill took: below 0 for what a sale brought."""
    notional = times(fill.quantity, fill.price)
    return total((notional if fill.side == "buy" else notional.copy_negate(), fill.fee))


def _adjustment_id(fill: Fill) -> str:
    return inferred_id("differs", fill.fill_id, fill.price, fill.fee)


def _is_adjusted(fill: Fill, books: Books) -> bool:
    return any(one.external_id == _adjustment_id(fill) for one in books.movements)


def _fill(fill: Fill, case: int, kind: str, acts: tuple[Any, ...], **more: Any) -> Discrepancy:
    return Discrepancy(
        case=case,
        kind=kind,
        resolution="corrected",
        acts=acts,
        key=fill.key,
        client_order_id=fill.client_order_id,
        platform={"fill": fill.fill_id, "quantity": fill.quantity, "price": fill.price, "fee": fill.fee},
        **more,
    )


def _position(
    case: int, kind: str, resolution: Any, key: Key, ours: Holding, theirs: Holding, acts: tuple[Any, ...], **more: Any
) -> Discrepancy:
    return Discrepancy(
        case=case,
        kind=kind,
        resolution=resolution,
        acts=acts,
        key=key,
        ledger={"quantity": ours.quantity},
        platform={"quantity": theirs.quantity, "average": theirs.average},
        **({"alert": True} if resolution == "blocking" else {}) | more,
    )


def _cash(
    case: int, kind: str, resolution: Any, cash: Decimal, platform: Snapshot, acts: tuple[Any, ...], **more: Any
) -> Discrepancy:
    name = more.pop("name", "")
    return Discrepancy(
        case=case,
        kind=kind,
        resolution=resolution,
        acts=acts,
        ledger={"cash": cash},
        platform={"cash": platform.cash, "movement": name},
        **more,
    )
