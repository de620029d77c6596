"""Sending: T6 writes the order down, T7 says that it is being sent, then it is sent, and T8 writes the answer. The only
place that calls `submit`. What is known to be refused here costs no request; what is not known is asked, never sent
again."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from agent.amounts import plain
from agent.store.trading import account, approving, booking, deciding, orders
from agent.trading.model import ZERO, Fill, Movement, Order, Proposal, Purpose
from agent.trading.platform import Accepted, Refused, Submitted, Unclear
from agent.trading.states.machine import step
from agent.trading.states.orders import FINAL, ORDER, OrderEvent, OrderState, client_order_id
from agent.trading.states.permissions import MAY, Send, TradingState, held_back_by
from agent.trading.states.positions import PositionEvent
from agent.trading.steps.booking import Marks, book_fill, book_movement, move_position, next_status
from agent.trading.steps.desk import Desk, held_quantities, in_flight, marks_of, order_of
from pipelines.values import dataclass

LISTED_LATE = timedelta(days=1)  # what came and went may be listed by so much later than it was in the balance
_MOST_UNCLEAR = 4  # orders of an account that may be there or not, before nothing more is opened
_ENDS = {
    "cancelled": OrderEvent.CANCELLED,
    "expired": OrderEvent.EXPIRED,
    "rejected": OrderEvent.REFUSED,
}


def order_for(proposal: Proposal, quantity: Decimal, purpose: Purpose, desk: Desk) -> Order:
    """The order of a proposal that the rules let through: at the market, for what they left of it."""
    return Order(
        client_order_id=client_order_id(proposal.decision_id, purpose, 0),
        market_id=proposal.market_id,
        outcome=proposal.outcome,
        side=proposal.side,
        purpose=purpose,
        type="market",
        time_in_force="gtc",
        quantity=quantity,
        status=OrderState.PREPARED,
        prepared_at=desk.clock.now(),
        reference=proposal.reference,
        reduce_only=proposal.reduces,
        decision_id=proposal.decision_id,
    )


def place(
    desk: Desk,
    order: Order,
    *,
    kill_id: str | None = None,
    leg: int = 0,
    decision: Mapping[str, Any] | None = None,
) -> str:
    """Write an order down and send it; returns its status after the answer. decision: its row, where it is not on
    record yet: neither is ever there without the other."""
    assert desk.sends, "test mode stops before this"
    with desk.step("prepare") as conn:  # T6
        if decision is not None:
            deciding.save_decision(conn, decision, [])
        orders.prepare(conn, _row(desk, order, kill_id, leg), "send")
        if order.decision_id is not None:
            deciding.set_status(conn, order.decision_id, "ordered")
            if order.purpose == "open":
                approving.approve_itself(conn, order.decision_id, _quoted(conn, desk, order), order.prepared_at)
    refusal = _begin(desk, order)
    if refusal is not None:
        return OrderState.DENIED
    sys.audit("tidemill.point", "trader.send.asking")
    answer = _submitted(desk, order)
    sys.audit("tidemill.point", "trader.send.answered")
    now = desk.clock.now()
    with desk.step("ack") as conn:  # T8
        its, row = order.client_order_id, _load(conn, order)
        if isinstance(answer, Accepted):
            moved = next_status(conn, desk, row, OrderEvent.ACKNOWLEDGED, now)
            facts: dict[str, Any] = {"acked_at": now, "platform_order_id": answer.platform_order_id}
            orders.move(conn, its, OrderEvent.ACKNOWLEDGED, moved, now, "send", {}, **facts)
        elif isinstance(answer, Refused):
            moved = next_status(conn, desk, row, OrderEvent.REFUSED, now)
            facts = {"reject_code": answer.code, "reject_text": answer.text, "ended_at": now}
            orders.move(conn, its, OrderEvent.REFUSED, moved, now, "send", {"code": answer.code}, **facts)
            _refuse(conn, order, "rejected", f"the platform did not take it: {answer.text} ({answer.code})")
            _order_ended(conn, desk, order)
        else:
            moved = next_status(conn, desk, row, OrderEvent.UNCLEAR, now)
            orders.move(conn, its, OrderEvent.UNCLEAR, moved, now, "send", {"cause": answer.cause})
    return moved


def _refuse(conn: Any, order: Order, code: str, text: str) -> None:
    if order.decision_id is not None:
        deciding.refuse(conn, order.decision_id, code, text)


def _quoted(conn: Any, desk: Desk, order: Order) -> dict[str, Any]:
    """What is approved: so much at these prices. What closes needs nobody's word."""
    row = orders.load(conn, order.client_order_id)
    assert row is not None, "it was prepared"
    prices = {"bid": row["reference_bid"], "ask": row["reference_ask"]}
    slips = desk.config.reprice_tolerance_pct
    return {"side": order.side, "quantity": order.quantity, **prices, "max_slippage": slips}


def follow(desk: Desk) -> int:
    """Book what happened at the platform since: fills of our orders, cash, orders that ended. Returns how many fills
    were new. Cash is asked for from a day before the newest that is booked; what is listed even later is found by
    reconciliation, which asks for all."""
    with desk.database.reading() as connections:
        flying = in_flight(connections.project, desk.agent_id)
    new = 0
    if flying:
        ours = {one.client_order_id for one in flying}
        first = min(one.prepared_at for one in flying)
        for fill in desk.platform.fills(first):
            if fill.client_order_id in ours:
                new += _book_fill(desk, fill)
        for order in flying:
            _follow_end(desk, order)
    _follow_cash(desk)
    return new


def _follow_cash(desk: Desk) -> None:
    where = (desk.held.platform, desk.held.account_ref)
    with desk.database.reading() as connections:
        booked = booking.movements_between(connections.project, *desk.books)
        if booked is None:
            return
        opened, newest = booked  # what came before is in what was found then
        since = newest - LISTED_LATE
        known = {row["external_id"] for row in booking.movements_of(connections.project, *where, since)}
    for movement in desk.platform.movements(since):
        if movement.external_id not in known and movement.ts > opened:
            _book_movement(desk, movement)


def cancel(desk: Desk, order: Order) -> None:
    """Ask for an order to be taken back; what became of it is the next answer's to say."""
    assert desk.sends, "test mode stops before this"
    now = desk.clock.now()
    with desk.step("cancel") as conn:
        status = _status(conn, order)
        if status in FINAL or status == OrderState.PREPARED:
            return
        moved = step(ORDER, status, OrderEvent.CANCEL).state if status != OrderState.SENDING else status
        orders.move(conn, order.client_order_id, OrderEvent.CANCEL, moved, now, "send")
    sys.audit("tidemill.point", "trader.cancel.asking")
    desk.platform.cancel(order.client_order_id)
    sys.audit("tidemill.point", "trader.cancel.answered")
    _follow_end(desk, order)


def valued(desk: Desk, *, also: tuple[str, str] | None = None) -> Marks:
    """Marks of all that is held, and of `also`."""
    with desk.database.reading() as connections:
        held = held_quantities(connections.project, desk.agent_id)
    now = desk.clock.now()
    marks = marks_of(desk, held, now)
    if also is not None and also not in marks:
        marks[also] = desk.mark(also, Decimal(1), now)
    return marks


def _begin(desk: Desk, order: Order) -> str | None:
    """T7: the last look before the first byte, and SENDING. Returns why it is denied, None where it may be sent."""
    now = desk.clock.now()
    with desk.step("sending") as conn:
        why = _forbidden(conn, desk, order)
        event = OrderEvent.SEND if why is None else OrderEvent.DENY
        moved = step(ORDER, _status(conn, order), event).state
        if why is not None:
            orders.move(conn, order.client_order_id, event, moved, now, "send", {}, reject_text=why, ended_at=now)
            _refuse(conn, order, "denied", f"denied: {why}")
            return why
        orders.move(conn, order.client_order_id, event, moved, now, "send", {}, first_sent_at=now, sends=1)
        sent = PositionEvent.EXIT_SENT if order.reduce_only else PositionEvent.ENTRY_SENT
        move_position(conn, desk, order.key, sent, now)
    return None


def _submitted(desk: Desk, order: Order) -> Submitted:
    """What the platform says of an order. Whatever it raises, the order may be there."""
    try:
        return desk.platform.submit(order)
    except Exception as error:
        return Unclear(f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """What is looked at in the transaction of T7. held: signed quantity of the order's position; closing: whether
    another order that closes it is in flight; unclear: markets of other orders that may be at the platform or not, one
    for each; disputed: how books and platform differ about it."""

    order: Order
    state: TradingState
    reasons: Mapping[str, str]
    kill: Mapping[str, Any] | None
    has_kill_file: bool
    held: Decimal
    closing: bool
    unclear: Sequence[str]
    disputed: str | None


def _not_allowed(look: LastLook) -> str | None:
    order = look.order
    asks = Send.KILL if order.purpose == "kill" else Send.REDUCE if order.reduce_only else Send.OPEN
    return None if asks in MAY[look.state] else f"the trader is {look.state}: {held_back_by(look.reasons)}"


def _killed(look: LastLook) -> str | None:
    if look.order.purpose == "kill" or look.kill is None:
        return None
    return f"the kill switch fired: {', '.join(look.kill['cause'])}"


def _kill_file(look: LastLook) -> str | None:
    is_stopped = look.order.purpose != "kill" and look.has_kill_file
    return "a KILL file lies in the project's home" if is_stopped else None


def _more_than_held(look: LastLook) -> str | None:
    """The monitor may have closed it since this was decided: the same again would turn the position round."""
    if not look.order.reduce_only:
        return None
    left = look.held if look.order.side == "sell" else look.held.copy_negate()
    return "there is no longer that much to close" if look.order.quantity > left else None


def _closes_already(look: LastLook) -> str | None:
    return "an order that closes it rests already" if look.order.reduce_only and look.closing else None


def _unclear(look: LastLook) -> str | None:
    """What cannot be told apart from what may be there already is not sent on top of it."""
    if look.order.reduce_only:
        return None
    if look.order.market_id in look.unclear:
        return "nobody knows yet whether an order before it is in this market"
    count = len(look.unclear)
    return f"nobody knows yet of {count} orders whether they are there" if count >= _MOST_UNCLEAR else None


def _disputed(look: LastLook) -> str | None:
    """How much is held nobody knows: what closes it by the books may turn it round."""
    if look.order.purpose == "kill" or look.disputed is None:
        return None
    return f"books and platform differ about it ({look.disputed}): `agent reconcile` shows it"


LAST_LOOK: dict[str, Callable[[LastLook], str | None]] = {
    "trading_state": _not_allowed,
    "kill_switch": _killed,
    "kill_file": _kill_file,
    "more_than_held": _more_than_held,
    "closes_already": _closes_already,
    "unclear": _unclear,
    "disputed": _disputed,
}  # in their order: of several the first one says why


def _forbidden(conn: Any, desk: Desk, order: Order) -> str | None:
    row, its = account.load(conn, desk.agent_id), order.client_order_id
    flying = in_flight(conn, desk.agent_id)
    look = LastLook(
        order=order,
        state=TradingState(row["trading_state"]),
        reasons=row["trading_reason"] or {},
        kill=account.standing_kill(conn, desk.held.platform, desk.held.account_ref),
        has_kill_file=desk.kill_file() is not None,
        held=held_quantities(conn, desk.agent_id).get(order.key, (ZERO, ZERO))[0],
        closing=any(one.reduce_only and one.key == order.key and one.client_order_id != its for one in flying),
        unclear=[
            one.market_id
            for one in flying
            if one.client_order_id != its and one.status in (OrderState.SENDING, OrderState.UNKNOWN)
        ],
        disputed=desk.disputed.get(order.key),
    )
    return next((why for one in LAST_LOOK.values() if (why := one(look)) is not None), None)


def _follow_end(desk: Desk, order: Order) -> None:
    """What the platform says of an order that does not rest any more: its fills first, then its end."""
    listed = desk.platform.order(order.client_order_id)
    if listed is None or listed.status not in _ENDS:
        return
    for fill in desk.platform.fills(order.prepared_at):
        if fill.client_order_id == order.client_order_id:
            _book_fill(desk, fill)
    now, event = desk.clock.now(), _ENDS[listed.status]
    with desk.step("end") as conn:
        row = _load(conn, order)
        if row["status"] in FINAL:
            return
        moved = next_status(conn, desk, row, event, now)
        orders.move(conn, order.client_order_id, event, moved, now, "poll", {}, ended_at=now)
        _order_ended(conn, desk, order)


def _order_ended(conn: Any, desk: Desk, order: Order) -> None:
    """The position of an order that ended with nothing more to come, as far as its fills have not said so."""
    row = booking.position_of(conn, desk.agent_id, order.key)
    if row is not None and row["state"] in ("opening", "closing"):
        move_position(conn, desk, order.key, PositionEvent.ORDER_ENDED, desk.clock.now())


def _book_fill(desk: Desk, fill: Fill) -> bool:
    marks = valued(desk, also=fill.key)
    with desk.step("fill") as conn:  # T9
        return book_fill(conn, desk, fill, marks, desk.clock.now())


def _book_movement(desk: Desk, movement: Movement) -> None:
    marks = valued(desk)
    with desk.step("movement") as conn:
        book_movement(conn, desk, movement, marks, desk.clock.now())


def _status(conn: Any, order: Order) -> str:
    return order_of(_load(conn, order)).status


def _load(conn: Any, order: Order) -> dict[str, Any]:
    row = orders.load(conn, order.client_order_id)
    assert row is not None, "it was prepared"
    return row


def _row(desk: Desk, order: Order, kill_id: str | None, leg: int) -> dict[str, Any]:
    payload = {
        "client_order_id": order.client_order_id,
        "market_id": order.market_id,
        "outcome": order.outcome,
        "side": order.side,
        "type": order.type,
        "quantity": plain(order.quantity),
        "limit_price": None if order.limit_price is None else plain(order.limit_price),
    }
    return {
        "client_order_id": order.client_order_id,
        "decision_id": order.decision_id,
        "kill_id": kill_id,
        "leg": leg,
        "agent_id": desk.agent_id,
        "purpose": order.purpose,
        "platform": desk.platform.name,
        "market_id": order.market_id,
        "outcome": order.outcome,
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "quantity": order.quantity,
        "limit_price": order.limit_price,
        "reduce_only": order.reduce_only,
        "status": order.status,
        "status_at": order.prepared_at,
        "payload_hash": hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest(),
        "deduplicated": desk.platform.capabilities.deduplicates,
        "prepared_at": order.prepared_at,
        "lease_token": desk.held.lease.token,
    }
