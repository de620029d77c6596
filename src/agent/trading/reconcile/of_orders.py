"""Orders of ours against those that the platform lists: cases 1 to 15 and 17. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from agent.amounts import less, ratio, times, total
from agent.trading.ledger import filled_by_order
from agent.trading.model import ZERO, Fill, Order
from agent.trading.reconcile.facts import (
    EXTERNAL_CANCELLED,
    EXTERNAL_ORDER,
    Act,
    AdoptOrder,
    Ask,
    BookFill,
    Books,
    Cancel,
    Discrepancy,
    MoveOrder,
    PlatformOrder,
    Policy,
    Snapshot,
    inferred_id,
    is_recent,
    is_young,
    listed_fills,
    young_fills,
)
from agent.trading.states.orders import FINAL, OrderEvent, OrderState, fill_event, is_ours
from agent.trading.states.permissions import Reason

_ENDS = {
    "cancelled": OrderEvent.CANCELLED,
    "expired": OrderEvent.EXPIRED,
    "rejected": OrderEvent.REFUSED,
}


_MAYBE_THERE = (OrderState.SENDING, OrderState.UNKNOWN)
_MAY_BE_FOUND = FINAL - {OrderState.FILLED, OrderState.ABANDONED, OrderState.DENIED}


def compare_orders(books: Books, platform: Snapshot, policy: Policy, explained: bool | None) -> Iterator[Discrepancy]:
    """Differences of orders. `explained`: positions and cash are as the books say, so that an order that is not found
    did nothing; None: that cannot be said yet. An order with a young fill waits until that is booked, and one
    that just ended may still be listed."""
    executed = filled_by_order(listed_fills(books, platform))
    by_client = {one.client_order_id: one for one in platform.orders if one.client_order_id is not None}
    by_platform = {one.platform_order_id: one for one in platform.orders}
    moving = {one.client_order_id for one in young_fills(books, platform, policy)}
    for order in books.orders:
        ended_at = order.status_at if order.status in FINAL else None
        is_fresh = is_young(order, platform, policy) or is_recent(ended_at, platform, policy)
        if is_fresh or order.client_order_id in moving:
            continue
        listed = by_client.get(order.client_order_id) or by_platform.get(order.platform_order_id or "")
        done = executed.get(order.client_order_id, (ZERO, ZERO))
        if listed is None:
            found = _not_listed(order, done[0], platform, policy, explained)
        else:
            found = _listed(order, listed, done, platform, policy)
        if found is not None:
            yield found
    ours = {one.client_order_id for one in books.orders} | {one.platform_order_id for one in books.orders}
    for one in platform.orders:
        if one.status == "open" and one.client_order_id not in ours and one.platform_order_id not in ours:
            yield _unknown(one, policy)


def _listed(
    order: Order, listed: PlatformOrder, done: tuple[Decimal, Decimal], platform: Snapshot, policy: Policy
) -> Discrepancy | None:
    if order.first_sent_at is None and order.status == OrderState.PREPARED:
        return _of(order, 2, "sent_without_a_row", "blocking", (), listed, note="two processes write this database")
    acts: list[Act] = []
    filled, average = done
    missing = less(listed.filled, filled)
    if missing > policy.dust:
        fill = _inferred(order, listed, filled, average, missing, platform)
        acts.append(BookFill(fill))
        filled = total((filled, missing))
    event = _event(order, listed, filled, policy, missing > policy.dust)
    if event is not None:
        acts.append(MoveOrder(order.client_order_id, event, listed.platform_order_id))
    is_over = order.status in FINAL
    if listed.status == "open" and is_over and order.status not in _MAY_BE_FOUND:
        return _of(order, 14, "unexpected_event", "ignored", (), listed, brings=Reason.UNEXPECTED_EVENT)
    if listed.status == "open" and (is_over or order.status == OrderState.CANCELLING):
        acts.append(Cancel(listed.platform_order_id))
    if not acts:
        return None
    case, kind = _case(order, listed, missing > policy.dust)
    return _of(order, case, kind, "corrected", tuple(acts), listed, alert=is_over)


def _event(
    order: Order, listed: PlatformOrder, filled: Decimal, policy: Policy, is_inferred: bool
) -> OrderEvent | None:
    """What happens to the order, None where it is as it should be. Late fills that are listed have their own find."""
    event = fill_event(order.quantity, filled, policy.dust)
    if order.status in FINAL:
        if listed.status == "open":
            return OrderEvent.FOUND_OPEN if order.status in _MAY_BE_FOUND else None
        return event if is_inferred else None
    if event is not OrderEvent.PART_FILL:
        return event
    if listed.status in _ENDS:
        return _ENDS[listed.status]
    if filled > order.filled:
        return event
    return OrderEvent.FOUND_OPEN if order.status in _MAYBE_THERE else None


def _case(order: Order, listed: PlatformOrder, is_inferred: bool) -> tuple[int, str]:
    if order.status in FINAL:
        return (14, "found_open") if listed.status == "open" else (14, "late_fill")
    if order.status in _MAYBE_THERE:
        return {"open": (3, "found"), "filled": (4, "found")}.get(listed.status, (5, "found"))
    if order.status == OrderState.CANCELLING and listed.status == "open":
        return 13, "still_open"
    if listed.status == "open":
        return 9, "inferred_fill" if is_inferred else "missed_fill"
    if listed.status == "filled":
        return 10, "inferred_fill" if is_inferred else "missed_fill"
    return 11, "missed_end"


def _not_listed(
    order: Order, filled: Decimal, platform: Snapshot, policy: Policy, explained: bool | None
) -> Discrepancy | None:
    if order.status in FINAL:
        return None
    if order.first_sent_at is None:
        return _of(order, 1, "never_sent", "corrected", (MoveOrder(order.client_order_id, OrderEvent.ABANDON),))
    if filled > order.filled:
        event = fill_event(order.quantity, filled, policy.dust)
        return _of(order, 4, "found_by_fills", "corrected", (MoveOrder(order.client_order_id, event),))
    is_settled = order.checks >= policy.least_checks and platform.at - order.first_sent_at >= timedelta(
        seconds=policy.settle_seconds
    )
    was_there = order.status not in _MAYBE_THERE
    case = 12 if was_there else 6 if platform.is_authoritative else 7
    needs_proof = was_there or not platform.is_authoritative
    if order.client_order_id not in platform.asked or not is_settled or (needs_proof and explained is None):
        return _of(order, case, "not_listed", "ignored", (Ask(order.client_order_id),))
    if was_there and explained:  # it was there, nothing of it is left, and it did nothing that we do not know of
        return _of(order, 12, "vanished", "corrected", (MoveOrder(order.client_order_id, OrderEvent.CANCELLED),))
    if not was_there and (platform.is_authoritative or explained):
        unclear = (MoveOrder(order.client_order_id, OrderEvent.UNCLEAR),) if order.status == OrderState.SENDING else ()
        acts: tuple[Act, ...] = (*unclear, MoveOrder(order.client_order_id, OrderEvent.NOT_PLACED))
        return _of(order, case, "not_placed", "corrected", acts, note="" if case == 6 else "positions and cash agree")
    return _of(order, 7, "not_proven", "ignored", (), brings=Reason.MISMATCH, alert=True)


def _unknown(one: PlatformOrder, policy: Policy) -> Discrepancy:
    key = (one.market_id, one.outcome)
    facts = {"order": one.platform_order_id, "quantity": one.quantity, "side": one.side}
    if is_ours(one.client_order_id):
        return Discrepancy(
            case=15,
            kind="lost_row",
            resolution="adopted",
            acts=(AdoptOrder(one), Cancel(one.platform_order_id)),
            key=key,
            client_order_id=one.client_order_id,
            platform=facts,
            alert=True,
        )
    return Discrepancy(
        case=17,
        kind=EXTERNAL_CANCELLED if policy.kills_external else EXTERNAL_ORDER,
        resolution="ignored",
        acts=(Cancel(one.platform_order_id),) if policy.kills_external else (),
        note="somebody else's" + (": cancelled, see kill_external" if policy.kills_external else ": left alone"),
        key=key,
        client_order_id=one.client_order_id,
        platform=facts,
    )


def _inferred(
    order: Order, listed: PlatformOrder, filled: Decimal, average: Decimal, missing: Decimal, platform: Snapshot
) -> Fill:
    """A fill that nobody lists, at the price that makes the order's average right."""
    price = order.price
    if listed.average is not None:
        worth = less(times(listed.average, listed.filled), times(average, filled))
        price = max(Decimal(0), ratio(worth, missing))
    return Fill(
        fill_id=inferred_id(order.client_order_id, filled, listed.filled),
        market_id=order.market_id,
        outcome=order.outcome,
        side=order.side,
        quantity=missing,
        price=price,
        fee=Decimal(0),
        ts=platform.at,
        client_order_id=order.client_order_id,
        inferred=True,
    )


def _of(
    order: Order,
    case: int,
    kind: str,
    resolution: str,
    acts: tuple[Act, ...],
    listed: PlatformOrder | None = None,
    *,
    note: str = "",
    brings: Reason | None = None,
    alert: bool = False,
) -> Discrepancy:
    return Discrepancy(
        case=case,
        kind=kind,
        resolution=resolution,  # type: ignore[arg-type]  # one of the four
        acts=acts,
        key=order.key,
        client_order_id=order.client_order_id,
        ledger={"status": order.status, "filled": order.filled},
        platform={} if listed is None else {"status": listed.status, "filled": listed.filled},
        note=note,
        brings=brings,
        alert=alert or resolution == "blocking",
    )
