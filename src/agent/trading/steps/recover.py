"""T1: before the first cycle, and again and again later, the books are compared with the platform, and put right where
that needs no person.

What a process left half done is found here: orders that were never sent are given up, orders that may have been sent
are asked about, fills that nobody booked are booked. Done twice the second time writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.amounts import of_float, ratio
from agent.store.trading import account, booking, deciding, orders
from agent.trading.ledger import VOID
from agent.trading.model import ZERO, Key, movement_of
from agent.trading.platform import Unreachable
from agent.trading.reconcile import is_agreed, reconcile, summed_up
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
    young_keys,
)
from agent.trading.states.machine import step
from agent.trading.states.orders import FINAL, ORDER, OrderState
from agent.trading.states.permissions import Reason
from agent.trading.states.positions import PositionEvent
from agent.trading.steps.booking import NOTED, Marks, book_fill, book_movement, move_position
from agent.trading.steps.desk import Desk, fill_of, held_quantities, in_flight, order_of, state_by
from agent.trading.steps.execute import LISTED_LATE, follow, valued
from pipelines.values import dataclass

_ROUNDS = 8  # five times an order is asked about before it counts as not placed
# What became of our orders: one that is over may still fill, and is closed, too; with kill_external also of others.
_WHILE_CLOSING = (*range(1, 16), 17)


def recover(desk: Desk) -> tuple[Discrepancy, ...]:
    """At start: give up what was decided and not sent, then put the books right, see `compare`."""
    with desk.step("recover") as conn:
        deciding.abandon_made(conn, desk.agent_id)
    return compare(desk)


def compare(desk: Desk, *, in_short: bool = False) -> tuple[Discrepancy, ...]:
    """Put the books right; returns what blocks: it waits for a person, until then nothing is opened.

    in_short: where the last day, positions and cash show no difference, the rest is not looked at. While everything is
    being closed only our orders are settled, which closing waits for. Raises Unreachable where not all could be read:
    then nothing is judged.
    """
    with desk.database.reading() as connections:
        opened = booking.movements_between(connections.project, *desk.books)
    if opened is not None:
        follow(desk)
        if in_short:
            compared = _compare_in_short(desk, opened[0])
            if not compared.found:
                _conclude(desk, compared)
                return ()
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        compared = _compare(desk, frozenset(asked))
        reasons = _reasons(compared.found)
        changed = [_carry_out(desk, one, asked, reasons) for one in compared.found]
        blocking = _conclude(desk, compared)
        if blocking or not any(changed):
            return blocking
    return ()


def _conclude(desk: Desk, compared: _Compared) -> tuple[Discrepancy, ...]:
    """What a difference held back goes on where it is none any longer; returns what blocks."""
    blocking = tuple(one for one in compared.found if one.resolution == "blocking")
    for key in desk.disputed.keys() - compared.unjudged:
        del desk.disputed[key]
    desk.disputed.update({one.key: one.kind for one in blocking if one.key is not None})
    if compared.is_agreed:
        _agree(desk)
    return blocking


def _agree(desk: Desk) -> None:
    """Nothing differs any longer: what a difference held back may go on, unless an order in flight may yet differ."""
    with desk.database.reading() as connections:
        held = account.load(connections.project, desk.agent_id)["trading_reason"] or {}
        is_waiting = bool(in_flight(connections.project, desk.agent_id))
    if str(Reason.MISMATCH) in held and not is_waiting:
        with desk.step("agree") as conn:
            account.set_reason(conn, desk.agent_id, str(Reason.MISMATCH), None, state_by)


def books_of(conn: Any, desk: Desk) -> Books:
    """The books as reconciliation wants them: positions and cash made again from all that was ever booked."""
    movements = [movement_of(row) for row in booking.movements_of(conn, *desk.books)]
    newest = booking.newest_equity(conn, desk.agent_id)
    books = Books(
        orders=tuple(order_of(row) for row in orders.of_agent(conn, desk.agent_id)),
        fills=tuple(fill_of(row) for row in booking.fills_of(conn, *desk.books)),
        movements=tuple(movements),
        equity=ZERO if newest is None else newest["equity"],
        opened_at=movements[0].ts if movements else None,
        is_killed=account.standing_kill(conn, *desk.books[:2]) is not None,
        agent_id=desk.agent_id,
    )
    return summed_up(books)


def recent_books_of(conn: Any, desk: Desk, listed: Snapshot, since: datetime, opened_at: datetime) -> Books:
    """The books of orders in flight and of what is `listed` from `since` on, with positions and cash of the rows."""
    where = (desk.held.platform, desk.held.account_ref)
    live, newest = in_flight(conn, desk.agent_id), booking.newest_equity(conn, desk.agent_id)
    assert newest is not None, "the books were opened"
    names = {name for one in listed.fills for name in (one.fill_id, one.fill_id + VOID)}
    rows = [row for row in booking.fills_named(conn, *where, names) if row["ts"] >= desk.held.begun_at]
    for order in live:
        rows += booking.fills_of(conn, *where, order=order.client_order_id)
    held = held_quantities(conn, desk.agent_id)
    return Books(
        orders=tuple(live),
        fills=tuple({row["platform_fill_id"]: fill_of(row) for row in rows}.values()),
        movements=tuple(movement_of(row) for row in booking.movements_of(conn, *where, max(since, desk.held.begun_at))),
        holdings={key: Holding(quantity, average) for key, (quantity, average) in held.items()},
        cash=newest["cash"],
        equity=newest["equity"],
        opened_at=opened_at,
        is_killed=account.standing_kill(conn, *where) is not None,
        agent_id=desk.agent_id,
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """unjudged: positions that something young may still change. is_agreed: all was judged, and nothing differs that
    holds the trader back."""

    found: tuple[Discrepancy, ...]
    unjudged: frozenset[Key]
    is_agreed: bool


def _compare(desk: Desk, asked: frozenset[str]) -> _Compared:
    """All that was ever booked against all that the platform lists."""
    with desk.database.reading() as connections:
        books = books_of(connections.project, desk)
        known = booking.discrepancies_of(connections.project, desk.agent_id)
    accepted = frozenset(one["id"] for one in known if one["resolution"] == "by_person")
    return _judged(desk, books, _snapshot(desk, asked, None), accepted)


def _compare_in_short(desk: Desk, opened_at: datetime) -> _Compared:
    """The last day, or since the oldest order in flight, against what the platform lists of that time. Whatever is
    found is only a reason to compare all."""
    with desk.database.reading() as connections:
        begun = [one.prepared_at for one in in_flight(connections.project, desk.agent_id)]
    since = min([desk.clock.now(), *begun]) - LISTED_LATE
    platform = _snapshot(desk, frozenset(), since)
    with desk.database.reading() as connections:
        books = recent_books_of(connections.project, desk, platform, since, opened_at)
    return _judged(desk, books, platform)


def _snapshot(desk: Desk, asked: frozenset[str], since: datetime | None) -> Snapshot:
    said = desk.platform.snapshot(asked, since)
    if not said.is_complete:
        raise Unreachable("a part of the account could not be read", where=desk.platform.name, fix="it is read again")
    # Where time stands still, what is found now must not look older than these books.
    at = max(said.at, desk.held.begun_at)
    return replace(said, at=at, is_authoritative=desk.platform.capabilities.is_authoritative)


def _judged(
    desk: Desk,
    books: Books,
    platform: Snapshot,
    accepted: frozenset[str] = frozenset(),
) -> _Compared:
    config = desk.config
    policy = Policy(
        dust=desk.platform.capabilities.dust,
        settle_seconds=config.settle_seconds,
        young_seconds=config.young_seconds,
        mismatch=ratio(of_float(config.mismatch_limit_pct), Decimal(100)),
        adopts=config.adopts,
        kills_external=config.kill_external and books.is_killed,
        accepted=accepted,
    )
    found = reconcile(replace(books, is_killed=False), platform, policy)
    unjudged, agreed = frozenset(young_keys(books, platform, policy)), is_agreed(books, platform, policy, found)
    if books.is_killed:
        found = tuple(one for one in found if one.case in _WHILE_CLOSING)
    return _Compared(found, unjudged, agreed)


def _carry_out(desk: Desk, one: Discrepancy, asked: set[str], reasons: Mapping[Reason, str]) -> bool:
    """Do what puts a difference right, in one transaction with its row. Returns whether anything changed."""
    now, marks = desk.clock.now(), valued(desk, also=one.key)
    with desk.step("reconcile") as conn:
        for act in one.acts:
            if isinstance(act, Ask):
                _ask(conn, act, asked, now)
            else:
                _act(conn, desk, act, marks, now)
        brings = _brought_by(one)
        if brings is not None:
            account.set_reason(conn, desk.agent_id, str(brings), reasons[brings], state_by)
        if one.is_on_record and one.kind not in NOTED:
            booking.add_discrepancy(conn, _row(desk, one, now))
    for act in one.acts:
        if isinstance(act, Cancel) and desk.sends:
            _cancel(desk, act)
    return bool(one.acts)


def _brought_by(one: Discrepancy) -> Reason | None:
    """What a difference holds the trader back for."""
    return Reason.MISMATCH if one.resolution == "blocking" else one.brings


def _reasons(found: Sequence[Discrepancy]) -> dict[Reason, str]:
    """Why these differences hold the trader back, for people: one reason may be that of several."""
    words: dict[Reason, list[str]] = {}
    for one in found:
        reason = _brought_by(one)
        if reason is not None:
            where = "" if one.key is None else f" in {one.key[0]}"
            fix = ": `agent reconcile` shows it" if one.resolution == "blocking" else ""
            words.setdefault(reason, []).append(one.note or f"{one.kind}{where}{fix}")
    return {reason: "; ".join(dict.fromkeys(texts)) for reason, texts in words.items()}


def _ask(conn: Any, act: Ask, asked: set[str], now: datetime) -> None:
    """The next snapshot asks for it; fills were asked for all."""
    if act.client_order_id is not None:
        asked.add(act.client_order_id)
        row = orders.load(conn, act.client_order_id)
        assert row is not None, "it is ours"
        orders.checked(conn, act.client_order_id, row["checks"] + 1, now)


def _act(conn: Any, desk: Desk, act: Any, marks: Marks, now: datetime) -> None:
    match act:
        case BookFill(fill):
            book_fill(conn, desk, fill, marks, now, "start")
        case BookMovement(movement):
            book_movement(conn, desk, movement, marks, now)
        case SettleFill(fill_id):
            booking.settle_fill(conn, desk.held.platform, desk.held.account_ref, fill_id)
        case MoveOrder(its, event, platform_id):
            _move(conn, desk, its, event, platform_id, now)
        case AdoptOrder(listed):
            orders.prepare(conn, _adopted(desk, listed, marks, now), "start")
        case AdoptPosition(key, quantity, managed):
            _adopt(conn, desk, key, quantity, managed, now)


def _move(conn: Any, desk: Desk, its: str, event: str, platform_id: str | None, now: datetime) -> None:
    row = orders.load(conn, its)
    assert row is not None, "it is ours"
    moved = step(ORDER, row["status"], event)
    values: dict[str, Any] = {} if platform_id is None else {"platform_order_id": platform_id}
    if moved.state in FINAL and row["ended_at"] is None:
        values["ended_at"] = now
    orders.move(conn, its, event, moved.state, now, "start", {}, **values)
    order = order_of(row)
    position = booking.position_of(conn, desk.agent_id, order.key)
    if moved.state in FINAL and position is not None and position["state"] in ("opening", "closing"):
        move_position(conn, desk, order.key, PositionEvent.ORDER_ENDED, now)


def _cancel(desk: Desk, act: Cancel) -> None:
    with desk.database.reading() as connections:
        rows = orders.of_agent(connections.project, desk.agent_id)
    for row in rows:
        if row["platform_order_id"] == act.platform_order_id:
            desk.platform.cancel(row["client_order_id"])
            return
    desk.platform.cancel_external(act.platform_order_id)


def _adopted(desk: Desk, listed: PlatformOrder, marks: Marks, now: datetime) -> dict[str, Any]:
    """A row for an order of ours that has none: it is on its way out. What it may cost without a limit is what its
    market shows, as far as anything does: until it has ended, cash is reserved for it."""
    assert listed.client_order_id is not None, "it has our prefix"
    key = (listed.market_id, listed.outcome)
    mark = marks.get(key)
    return {
        "client_order_id": listed.client_order_id,
        "agent_id": desk.agent_id,
        "purpose": "exit",
        "platform": desk.platform.name,
        "market_id": listed.market_id,
        "outcome": listed.outcome,
        "side": listed.side,
        "type": "market" if listed.limit_price is None else "limit",
        "time_in_force": "gtc",
        "quantity": listed.quantity,
        "limit_price": listed.limit_price or (desk.platform.instrument(key[0]).tick if mark is None else mark.price),
        "status": OrderState.CANCELLING,
        "status_at": now,
        "payload_hash": "",
        "platform_order_id": listed.platform_order_id,
        "deduplicated": desk.platform.capabilities.deduplicates,
        "prepared_at": now,
        "first_sent_at": now,
        "lease_token": desk.held.lease.token,
    }


def _adopt(conn: Any, desk: Desk, key: tuple[str, str], quantity: Decimal, managed: bool, now: datetime) -> None:
    """A decision for a position that was found, so that its outcome is learned from, too."""
    row = {
        "decision_id": deciding.synthetic_id(desk.agent_id, key, now),
        "agent_id": desk.agent_id,
        "cycle": 0,
        "market_id": key[0],
        "made_at": now,
        "as_of": now,
        "action": "buy" if quantity > 0 else "sell",
        "status": "ordered",
        "synthetic": True,
        "reasons": [{"code": "found", "text": "the account held it", "quantity": quantity}],
    }
    deciding.save_decision(conn, row, [])
    position = booking.position_of(conn, desk.agent_id, key)
    if position is not None:
        booking.put_position(conn, {**position, "managed": managed})


def _row(desk: Desk, one: Discrepancy, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id_of(desk.agent_id),
        "agent_id": desk.agent_id,
        "found_at": now,
        "kind": one.kind,
        "market_id": None if one.key is None else one.key[0],
        "client_order_id": one.client_order_id,
        "ledger": dict(one.ledger),
        "platform": dict(one.platform),
        "resolution": one.resolution,
        "note": one.note,
        "resolved_at": None if one.resolution == "blocking" else now,
    }
