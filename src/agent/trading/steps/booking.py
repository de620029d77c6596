"""T9: a fill or a cash movement, and all that follows from it, in one transaction: position, round trips, cash, equity,
baseline, and the order it belongs to. Booked twice it changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.amounts import less, ratio, times, total
from agent.store.trading import account, booking, orders
from agent.trading.kill_switch import STALE_READINGS, Reading
from agent.trading.ledger import VOID, Books, Line, Trade, filled_of, guesses_at, rebuilt, void_of
from agent.trading.measures.flows import Baseline, after_flow
from agent.trading.measures.marks import Mark, is_reading
from agent.trading.measures.slippage import slippage_of
from agent.trading.model import ZERO, Fill, Key, Movement, key_text, movement_of
from agent.trading.reconcile.facts import discrepancy_id
from agent.trading.states.machine import UNEXPECTED, Move, step
from agent.trading.states.orders import FINAL, LATE_FILL, ORDER, OVERFILL, OrderEvent, fill_event
from agent.trading.states.permissions import Reason
from agent.trading.states.positions import NOT_SETTLED, POSITION, PositionEvent
from agent.trading.steps.desk import Desk, fill_of, held_quantities, seen_since, state_by

NOTED = (LATE_FILL, OVERFILL)  # differences that booking a fill writes down, whoever found it
_FLOWS = ("deposit", "withdrawal")
_SOONER = timedelta(microseconds=1)
Marks = Mapping[Key, Mark | None]


def book_fill(conn: Any, desk: Desk, fill: Fill, marks: Marks, now: datetime, source: str = "poll") -> bool:
    """Book a fill, and take back what was inferred for want of it. False where it is in the books already."""
    newest = booking.newest_fill_at(conn, desk.held.platform, desk.held.account_ref, fill.key)
    if not booking.add_fill(conn, desk.fill_row(fill, now)):
        return False
    taken_back = [void_of(one, now) for one in _guesses(conn, desk, fill)]
    for one in taken_back:
        booking.add_fill(conn, desk.fill_row(one, now))
    is_late = bool(taken_back) or fill.fill_id.endswith(VOID) or (newest is not None and fill.ts < newest)
    _book_line(conn, desk, fill.key, fill, now, whole=is_late)
    if fill.client_order_id is not None:
        _project_order(conn, desk, fill, now, source, was_inferred=bool(taken_back))
    write_equity(conn, desk, marks, now, cash=total(map(_brought, (fill, *taken_back))))
    return True


def _guesses(conn: Any, desk: Desk, fill: Fill) -> list[Fill]:
    """What was inferred for want of this fill. Most accounts never have any."""
    if fill.inferred or not booking.has_inferred(conn, desk.held.platform, desk.held.account_ref, fill.key):
        return []
    found = map(fill_of, booking.fills_of(conn, *desk.books, key=fill.key))
    return guesses_at(fill, found, map(movement_of, booking.movements_of(conn, *desk.books)))


def _brought(fill: Fill) -> Decimal:
    """The cash that a fill brings: below 0 for a purchase."""
    notional = times(fill.quantity, fill.price)
    return less(notional.copy_negate() if fill.side == "buy" else notional, fill.fee)


def book_movement(conn: Any, desk: Desk, movement: Movement, marks: Marks, now: datetime) -> bool:
    """Book cash that came or went. A flow scales what gain, loss and drawdown are measured from; the first one, with
    which the books begin, is that. False where it is in the books already. Raises ValueError for a withdrawal of
    everything."""
    if not booking.add_movement(conn, desk.movement_row(movement)):
        return False
    if movement.kind == "settlement":
        assert movement.market_id is not None, "a settlement names its market"
        _book_line(conn, desk, (movement.market_id, movement.outcome), movement, now, whole=True)
    flow = movement.amount if movement.kind in _FLOWS else ZERO
    before = booking.newest_equity(conn, desk.agent_id)
    if flow and before is not None:
        row = account.load(conn, desk.agent_id)
        scaled = after_flow(Baseline(row["initial_equity"], row["peak_equity"]), before["equity"], flow)
        account.update(conn, desk.agent_id, initial_equity=scaled.initial, peak_equity=scaled.peak)
    elif flow > 0:
        account.update(conn, desk.agent_id, initial_equity=flow, peak_equity=flow)
    write_equity(conn, desk, marks, now, cash=movement.amount, flow=flow)
    return True


def write_equity(
    conn: Any, desk: Desk, marks: Marks, now: datetime, *, cash: Decimal = ZERO, flow: Decimal = ZERO
) -> Reading:
    """What the account is worth at `now`, `cash` more than before; the peak rises with it. What nobody prices counts at
    what it cost, and the reading as stale."""
    held = held_quantities(conn, desk.agent_id)
    prices = {key: average if (one := marks.get(key)) is None else one.price for key, (_, average) in held.items()}
    before = booking.newest_equity(conn, desk.agent_id)
    if before is not None:
        now = max(now, before["ts"])  # cash is a chain: who read the clock first may come second
    after = total((ZERO if before is None else before["cash"], cash))
    worth = total(times(quantity, prices[key]) for key, (quantity, _) in held.items())
    equity = total((after, worth))
    stale = not is_reading((quantity, marks.get(key)) for key, (quantity, _) in held.items())
    before_it = booking.stale_before(conn, desk.agent_id, now, STALE_READINGS) if stale else 0
    row = account.load(conn, desk.agent_id)
    peak = row["peak_equity"]
    if equity > peak and not stale:
        peak = equity
        account.update(conn, desk.agent_id, peak_equity=peak, peak_at=now)
    is_same_moment = before is not None and before["ts"] == now
    flows = total((before["net_flow"], flow)) if before is not None and is_same_moment else flow
    shown = {
        key_text(key): None if one is None else {"price": one.price, "ts": one.ts, "kind": str(one.kind)}
        for key, one in ((key, marks.get(key)) for key in held)
    }
    booking.put_equity(
        conn,
        {
            "agent_id": desk.agent_id,
            "ts": now,
            "cash": after,
            "position_value": worth,
            "equity": equity,
            "net_flow": flows,
            "peak": peak,
            "drawdown": float(ratio(max(ZERO, less(peak, equity)), peak)),  # a stale reading may lie above the peak
            "marks": shown,
            "stale": stale,
        },
    )
    return Reading(equity=equity, initial=row["initial_equity"], peak=peak, stale=stale, stale_before=before_it)


def move_position(conn: Any, desk: Desk, key: Key, event: PositionEvent, now: datetime) -> None:
    """An event of a position beside its fills: an order was sent, or ended."""
    row = booking.position_of(conn, desk.agent_id, key) or _flat(desk, key)
    if event is PositionEvent.ORDER_ENDED and row["state"] == "closing" and desk.is_dust(key, row["quantity"]):
        event = PositionEvent.BELOW_MINIMUM
    booking.put_position(conn, {**row, "state": step(POSITION, row["state"], event).state, "updated_at": now})


def next_status(conn: Any, desk: Desk, row: Mapping[str, Any], event: str, now: datetime) -> str:
    """The status that an event from outside leads an order (`row`) to. One that nothing leads to leaves it as it is, is
    written down, and nothing is opened until a person has looked."""
    move = step(ORDER, row["status"], event)
    if move.discrepancy == UNEXPECTED:
        its = row["client_order_id"]
        name = discrepancy_id(desk.agent_id, UNEXPECTED, its, str(event))
        values = {"id": name, "agent_id": desk.agent_id, "found_at": now, "kind": UNEXPECTED, "client_order_id": its}
        facts = {"market_id": row["market_id"], "ledger": {"status": row["status"]}, "platform": {"event": event}}
        booking.add_discrepancy(conn, {**values, **facts, "resolution": "ignored", "resolved_at": now})
        words = f"order {its} was {row['status']} and the platform said: {event}; {_until_looked_at(name)}"
        account.set_reason(conn, desk.agent_id, str(Reason.UNEXPECTED_EVENT), words, state_by)
    return move.state


def _book_line(conn: Any, desk: Desk, key: Key, event: Fill | Movement, now: datetime, *, whole: bool) -> None:
    """The position and its round trips after `event`: of the open round trip alone where that is enough, else of all
    fills there are."""
    row = booking.position_of(conn, desk.agent_id, key) or _flat(desk, key)
    before, books = None, None
    if not whole and isinstance(event, Fill):
        before = _open_trip(conn, desk, key, row, event)
    if before is not None:
        base = before.lines.get(key, Line())
        books = before
        books.add(event)
        line = books.lines[key]
        realized = total((row["realized"], line.realized, base.realized.copy_negate()))
        fees = total((row["fees"], line.fees, base.fees.copy_negate()))
    else:
        found = [fill_of(one) for one in booking.fills_of(conn, *desk.books, key=key)]
        paid = [
            one
            for one in map(movement_of, booking.movements_of(conn, *desk.books))
            if one.kind == "settlement" and (one.market_id, one.outcome) == key
        ]
        books = rebuilt(found, paid)
        line = books.lines.get(key, Line())
        realized, fees = line.realized, line.fees
        booking.forget_trades(conn, desk.agent_id, key)
    booking.put_trades(conn, [_trade_row(conn, desk, one) for one in books.trades])
    values = {
        "quantity": line.quantity,
        "average_price": line.average,
        "realized": realized,
        "fees": fees,
        "opened_at": line.opened_at,
        "state": _state_after(row, line.quantity, event, is_dust=desk.is_dust(key, line.quantity)),
        "updated_at": now,
    }
    booking.put_position(conn, {**row, **values})


def _open_trip(conn: Any, desk: Desk, key: Key, row: Mapping[str, Any], event: Fill) -> Books | None:
    """The books of the round trip that is open, without `event`; None where its fills alone do not tell.

    Fills since it began may end the one before it, first of all the one that changed the sign: they are booked upon
    what was held then, by quantity alone. What that makes of P&L and trades belongs to the past and is left out.
    """
    if row["opened_at"] is None:
        return Books() if not row["quantity"] else None
    rows = booking.fills_of(conn, *desk.books[:2], row["opened_at"], key=key)
    fills = [fill_of(one) for one in rows if one["platform_fill_id"] != event.fill_id]
    if any(one.fill_id.endswith(VOID) for one in fills):
        return None
    signed = (one.quantity if one.side == "buy" else one.quantity.copy_negate() for one in fills)
    before = less(row["quantity"], *signed)
    books = Books()
    if before:
        books.lines[key] = Line(quantity=before, opened=before, opened_at=row["opened_at"] - _SOONER)
    for fill in fills:
        books.add(fill)
    books.trades.clear()
    line = books.lines.get(key, Line())
    return books if (line.quantity, line.opened_at) == (row["quantity"], row["opened_at"]) else None


def _flat(desk: Desk, key: Key) -> dict[str, Any]:
    return {
        "agent_id": desk.agent_id,
        "market_id": key[0],
        "outcome": key[1],
        "quantity": ZERO,
        "average_price": ZERO,
        "realized": ZERO,
        "fees": ZERO,
        "opened_at": None,
        "state": POSITION.start,
        "managed": True,
    }


def _state_after(row: Mapping[str, Any], quantity: Decimal, event: Fill | Movement, *, is_dust: bool) -> str:
    if isinstance(event, Movement):
        resolved = step(POSITION, row["state"], PositionEvent.RESOLVED).state
        return step(POSITION, resolved, PositionEvent.PAID).state
    if not quantity:
        return step(POSITION, row["state"], PositionEvent.EMPTIED).state
    if is_dust and row["state"] in NOT_SETTLED:
        return step(POSITION, row["state"], PositionEvent.BELOW_MINIMUM).state
    flipped = row["quantity"] * quantity < 0
    return step(POSITION, row["state"], PositionEvent.FLIPPED if flipped else PositionEvent.FILL).state


def _slippage_of(conn: Any, desk: Desk, trade: Trade) -> Decimal | None:
    key = (trade.market_id, trade.outcome)
    fills = seen_since(desk, conn, trade.opened_at, until=trade.closed_at, key=key)
    return slippage_of(fills, trade.side == "long", trade.quantity)


def _trade_row(conn: Any, desk: Desk, trade: Trade) -> dict[str, Any]:
    found = [None if one is None else orders.load(conn, one) for one in (trade.entry_order, trade.exit_order)]
    name = f"{desk.agent_id}\x1f{trade.market_id}\x1f{trade.outcome}\x1f{trade.trade_id}"
    return {
        "id": hashlib.blake2b(name.encode(), digest_size=16).hexdigest(),
        "agent_id": desk.agent_id,
        "market_id": trade.market_id,
        "outcome": trade.outcome,
        "side": trade.side,
        "opened_at": trade.opened_at,
        "closed_at": trade.closed_at,
        "quantity": trade.quantity,
        "entry": trade.entry,
        "exit": trade.exit,
        "fees": trade.fees,
        "slippage": _slippage_of(conn, desk, trade),
        "pnl": trade.pnl,
        "reason": "settlement" if found[1] is None else found[1]["purpose"],
        "entry_decision_id": None if found[0] is None else found[0]["decision_id"],
        "exit_decision_id": None if found[1] is None else found[1]["decision_id"],
    }


def _project_order(conn: Any, desk: Desk, fill: Fill, now: datetime, source: str, *, was_inferred: bool) -> None:
    """What the order's row says of its fills, and what the fill does to its status: to one that is filled nothing where
    it only takes the place of what was inferred."""
    assert fill.client_order_id is not None, "the caller asked"
    row = orders.load(conn, fill.client_order_id)
    assert row is not None, "a fill of an order that has no row is nobody's"
    held = desk.held
    rows = booking.fills_of(conn, held.platform, held.account_ref, order=fill.client_order_id)
    filled, average = filled_of([fill_of(one) for one in rows], fill.client_order_id)
    event = fill_event(row["quantity"], filled, desk.platform.capabilities.dust)
    if was_inferred and row["status"] in FINAL and event is not OrderEvent.OVERFILL:
        moved = Move(row["status"])
    else:
        moved = step(ORDER, row["status"], event)
    values: dict[str, Any] = {"filled_quantity": filled, "average_price": average}
    if moved.state in FINAL and row["ended_at"] is None:
        values["ended_at"] = now
    payload = {"fill": fill.fill_id, "quantity": fill.quantity, "price": fill.price}
    orders.move(conn, fill.client_order_id, event, moved.state, now, source, payload, **values)
    if moved.discrepancy is not None:
        _note(conn, desk, fill, moved.discrepancy, now)


def _note(conn: Any, desk: Desk, fill: Fill, kind: str, now: datetime) -> None:
    """A fill that should not have come: booked, and written down."""
    row = {
        "id": discrepancy_id(desk.agent_id, kind, fill.fill_id),
        "agent_id": desk.agent_id,
        "found_at": now,
        "kind": kind,
        "market_id": fill.market_id,
        "client_order_id": fill.client_order_id,
        "ledger": {},
        "platform": {"fill": fill.fill_id, "quantity": fill.quantity, "price": fill.price},
        "resolution": "corrected",
        "resolved_at": now,
    }
    if booking.add_discrepancy(conn, row) and kind == OVERFILL:
        words = f"fill {fill.fill_id} was more than its order had left; {_until_looked_at(row['id'])}"
        account.set_reason(conn, desk.agent_id, str(Reason.OVERFILL), words, state_by)


def _until_looked_at(discrepancy: Any) -> str:
    return f"once you have looked: `agent reconcile --accept {discrepancy}`"
