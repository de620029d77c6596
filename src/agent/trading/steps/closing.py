"""The kill switch at work: one step of closing everything. What fires it is in `steps.firing`.

Each step may be the last one of its process: the next start goes on with the row as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from agent.amounts import figure_text, of_float, times
from agent.store.trading import account, deciding, orders, switch
from agent.trading.kill_switch import (
    KILL_SWITCH,
    SECONDS_TO_CANCEL,
    SECONDS_TO_CLOSE,
    KillEvent,
    KillState,
)
from agent.trading.model import Key, Order, Purpose, Quote, Side
from agent.trading.platform import Unreachable
from agent.trading.reconcile.facts import Snapshot
from agent.trading.rule import floored
from agent.trading.states.machine import step
from agent.trading.states.orders import OrderState, client_order_id, is_ours
from agent.trading.steps.cycle import look
from agent.trading.steps.desk import Desk, Wait, being_closed, in_flight, to_close
from agent.trading.steps.execute import cancel, follow, place
from agent.trading.steps.firing import acknowledge_file
from agent.trading.steps.recover import recover

_NOT_TAKEN = (OrderState.DENIED, OrderState.REJECTED)
_TRY_AGAIN = timedelta(seconds=10)  # after an order that the platform did not take
_SENT = "its order was just sent"
_NOT_SAID = "the platform has not said twice that nothing is held and nothing rests"
_AT_THE_END = {"code": "exit", "text": "the run ended, and what it holds is closed (on_exit)"}


def advance(desk: Desk, wait: Wait | None = None) -> KillState:
    """One step of closing everything; returns where it stands after it. wait: until a platform whose positions may lag
    is asked once more whether it holds nothing; None: there it stays in closing. A platform that cannot be read is
    asked again by the next step; time goes on meanwhile."""
    acknowledge_file(desk)  # one that a dead process, or one without a database, could not
    try:
        follow(desk)
        recover(desk)
        return _next(desk, wait)
    except Unreachable as error:
        return _unread(desk, error)


def until_flat(desk: Desk, advances: Callable[[], KillState], wait: Wait, *, is_bounded: bool) -> KillState:
    """Step after step, as far as the market lets us; returns where it stands then. is_bounded: only for as long as a
    step brings something; else until `wait` says to stop."""
    before, done = KillState.ARMED, list[tuple[Any, ...]]()
    while (state := advances()) is not KillState.FLAT:
        is_same, before = state is before, state
        was_done, done = done, _done_so_far(desk)
        if is_same and (done == was_done if is_bounded else not wait(1.0)):
            break
    return state


def _done_so_far(desk: Desk) -> list[tuple[Any, ...]]:
    with desk.database.reading() as connections:
        rows = orders.of_agent(connections.project, desk.agent_id)
    return [(one["client_order_id"], one["status"], one["filled_quantity"]) for one in rows if one["kill_id"]]


def _next(desk: Desk, wait: Wait | None) -> KillState:
    kill, state = _fired(desk)
    if state is KillState.TRIGGERED:
        return _move(desk, kill, state, KillEvent.CANCEL)
    if state is KillState.CANCELLING:
        return _cancel_all(desk, kill)
    if state is KillState.FLAT:
        return state
    return _close_all(desk, kill, state, wait)


def _unread(desk: Desk, error: Unreachable) -> KillState:
    """A step without the platform's whole answer: nothing is flat by it, and what is known to rest is cancelled."""
    kill, state = _fired(desk)
    if state is KillState.TRIGGERED:
        return _move(desk, kill, state, KillEvent.CANCEL)
    if state is KillState.CANCELLING:
        for order in _in_flight(desk):
            with suppress(Unreachable):
                cancel(desk, order)
        is_late = _seconds_since(desk, kill) >= SECONDS_TO_CANCEL
        return _move(desk, kill, state, KillEvent.TIME_OVER) if is_late else state
    if state is KillState.FLAT:
        return state
    return _stands(desk, kill, state, [_left("*", "", f"the platform cannot be read: {error.what}")])


def _cancel_all(desk: Desk, kill: dict[str, Any]) -> KillState:
    """What is unknown may be there or not: it is cancelled like the rest, and closing does not wait for it."""
    for order in _in_flight(desk):
        cancel(desk, order)
    rests = any(one.status != OrderState.UNKNOWN for one in _in_flight(desk))
    if not rests and _none_rests(desk, desk.platform.snapshot((), None)):
        return _move(desk, kill, KillState.CANCELLING, KillEvent.NONE_LEFT)
    if _seconds_since(desk, kill) >= SECONDS_TO_CANCEL:
        return _move(desk, kill, KillState.CANCELLING, KillEvent.TIME_OVER)
    return KillState.CANCELLING


def _close_all(desk: Desk, kill: dict[str, Any], state: KillState, wait: Wait | None) -> KillState:
    _take_back(desk)
    with desk.database.reading() as connections:
        held = to_close(desk, connections.project)
    flying = _in_flight(desk)
    if not held and not flying and _is_flat(desk) and _is_still_flat(desk, wait):
        return _move(desk, kill, state, KillEvent.FLAT, flat_at=desk.clock.now())
    closing = {one.key: one for one in flying if one.reduce_only}
    left, is_blocked = [], False
    for key, (quantity, _) in sorted(held.items()):
        resting = closing.get(key)
        why = _try(desk, kill, key, quantity) if resting is None else None
        is_blocked = is_blocked or why is not None
        left.append(_left(*key, why or (_SENT if resting is None else _how_far(resting))))
    left += [_left(*one.key, _how_far(one)) for one in flying if one.key not in held]
    return _stands(desk, kill, state, left or [_left("*", "", _NOT_SAID)], is_blocked=is_blocked)


def _stands(
    desk: Desk, kill: dict[str, Any], state: KillState, left: list[dict[str, str]], *, is_blocked: bool = False
) -> KillState:
    """Something is left: stuck where it cannot be closed, or was not within ten minutes. Trying goes on, and the row
    says what is left now."""
    is_late = _seconds_since(desk, kill) >= SECONDS_TO_CLOSE
    if state is KillState.CLOSING and (is_blocked or is_late):
        return _move(desk, kill, state, KillEvent.CANNOT_CLOSE, stuck=left)
    if state is KillState.STUCK and left != kill["stuck"]:
        return _move(desk, kill, state, KillEvent.CLOSE_SENT, stuck=left)
    return state


def _try(desk: Desk, kill: dict[str, Any], key: Key, quantity: Decimal) -> str | None:
    """Send what closes a position, as the next try of this kill; why that cannot be done, None where it was sent. Its
    number is how many there were: whoever comes after a crash sends the same one, or the next."""
    with desk.database.reading() as connections:
        rows = orders.of_agent(connections.project, desk.agent_id)
    tries = [one for one in rows if one["kill_id"] == kill["id"] and (one["market_id"], one["outcome"]) == key]
    last = max(tries, key=lambda one: one["leg"], default=None)
    if last and last["status"] in _NOT_TAKEN and desk.clock.now() - last["status_at"] < _TRY_AGAIN:
        return _words_of(last)
    order = closing_order(desk, kill["id"], "kill", key, quantity, len(tries), desk.quote(key[0]))
    if isinstance(order, str):
        return order
    if place(desk, order, kill_id=kill["id"], leg=len(tries)) not in _NOT_TAKEN:
        return None
    with desk.database.reading() as connections:
        row = orders.load(connections.project, order.client_order_id)
    assert row is not None, "it was prepared"
    return _words_of(row)


def _words_of(refused: Mapping[str, Any]) -> str:
    return f"the order is not taken: {refused['reject_text'] or refused['status']}"


def _left(market: str, outcome: str, why: str) -> dict[str, str]:
    return {"market": market, "outcome": outcome, "why": why}


def _how_far(order: Order) -> str:
    if order.status == OrderState.UNKNOWN:
        return f"nobody knows whether the platform has order {order.client_order_id}"
    rests = f"order {order.client_order_id} is {order.status}"
    return f"{rests}, {figure_text(order.filled)} of {figure_text(order.quantity)} filled"


def _seconds_since(desk: Desk, kill: Mapping[str, Any]) -> float:
    seconds: float = (desk.clock.now() - kill["triggered_at"]).total_seconds()
    return seconds


def _in_flight(desk: Desk) -> list[Order]:
    with desk.database.reading() as connections:
        return in_flight(connections.project, desk.agent_id)


def _take_back(desk: Desk) -> None:
    """Cancel what closes at a limit that the market has left behind: it would rest for as long as the price stays away,
    and the next order takes what there is now. And what does not close, where it was found late."""
    for order in _in_flight(desk):
        if order.status in (OrderState.OPEN, OrderState.PARTIAL) and (
            order.purpose != "kill" or _is_behind(desk, order)
        ):
            cancel(desk, order)


def _is_behind(desk: Desk, order: Order) -> bool:
    quote, limit = _of_outcome(desk.quote(order.market_id), order.key), order.limit_price
    price = _closing_price(quote, order.side)
    if not price or limit is None:
        return False
    return price < limit if order.side == "sell" else price > limit


def _of_outcome(shown: Quote | None, key: Key) -> Quote | None:
    """What a market shows of an outcome."""
    return shown if shown is None or key[1] != "no" else shown.no


def _closing_price(quote: Quote | None, side: Side) -> Decimal | None:
    """What an order of this side would get."""
    return None if quote is None else quote.bid if side == "sell" else quote.ask


def _none_rests(desk: Desk, said: Snapshot) -> bool:
    """Whether the platform lists no order that may still fill: of ours, and with kill_external of anybody's in the
    account, which reconciliation cancels. Without it those are left alone, and nothing waits for them."""
    all_of_them = desk.config.kill_external
    resting = (one for one in said.orders if one.status == "open")
    return said.is_complete and not any(all_of_them or is_ours(one.client_order_id) for one in resting)


def _is_flat(desk: Desk) -> bool:
    """Whether the platform says that nothing is held, dust aside, and nothing rests. What could not be read is never
    flat."""
    said = desk.platform.snapshot((), None)
    if said.holdings is None or not _none_rests(desk, said):
        return False
    return all(desk.is_dust(key, one.quantity) for key, one in said.holdings.items())


def _is_still_flat(desk: Desk, wait: Wait | None) -> bool:
    """Whether it says so again after a while: a list of positions may lag behind fills, and a fill may come late."""
    if desk.platform.capabilities.is_at_once:
        return True
    return wait is not None and wait(desk.config.flat_again_seconds) and _is_flat(desk)


def decide_and_close(
    desk: Desk, purpose: Purpose, key: Key, quantity: Decimal, why: Mapping[str, Any], *parts: object
) -> None:
    """Decide outside of a cycle that a position is closed, and send what closes it, where something can be sent. why:
    the decision's reason; parts: which decision it is: the same one again is the same order."""
    its = deciding.closing_id(desk.agent_id, purpose, *key, *parts)
    quote = desk.quote(key[0])
    order = closing_order(desk, its, purpose, key, quantity, 0, quote)
    if isinstance(order, str):
        return
    now = desk.clock.now()
    assert quote is not None, "the order has its price"
    decision = {
        "decision_id": its,
        "agent_id": desk.agent_id,
        "cycle": 0,
        "market_id": key[0],
        "pair": desk.markets.get(key[0], key[0])[:100],
        "made_at": now,
        "as_of": min(quote.ts, now),
        "action": "close",
        "reference_bid": quote.bid,
        "reference_ask": quote.ask,
        "reference_mid": quote.mid,
        "proposed_quantity": quantity.copy_abs(),
        "release_id": desk.feed.release.release_id,
        "status": "made",
        "synthetic": True,
        "reasons": [why],
    }
    place(desk, replace(order, decision_id=its), decision=decision)


def close_positions(desk: Desk) -> bool:
    """Book what came in, and send what closes everything that is held and not being closed, at the end of a run; False
    where the kill switch fired instead."""
    if look(desk) is not None:
        return False
    with desk.database.reading() as connections:
        held = to_close(desk, connections.project)
        busy = being_closed(desk, connections.project)
        row = account.load(connections.project, desk.agent_id)
    for key, (quantity, _) in sorted(held.items()):
        which = (row["cycle"], desk.held.lease.token)
        if key not in busy:
            decide_and_close(desk, "exit", key, quantity, _AT_THE_END, *which)
    return True


def closing_order(
    desk: Desk, origin: str, purpose: Purpose, key: Key, quantity: Decimal, leg: int, shown: Quote | None
) -> Order | str:
    """The order that closes a position: at a limit that is kill_max_slippage behind what its market shows. A text: why
    there is none. origin: what its id is made from."""
    quote = _of_outcome(shown, key)
    side: Side = "sell" if quantity > 0 else "buy"
    price = _closing_price(quote, side)
    if quote is None:
        return "nothing is known of its price"
    if not quote.is_open or not price:
        return "nobody bids" if quote.is_open else "the market is closed"
    instrument = desk.platform.instrument(key[0])
    return Order(
        client_order_id=client_order_id(origin, purpose, leg, f"{key[0]}:{key[1]}"),
        market_id=key[0],
        outcome=key[1],  # type: ignore[arg-type]  # one of ours
        side=side,
        purpose=purpose,
        type="limit",
        time_in_force="gtc",
        quantity=quantity.copy_abs(),
        status=OrderState.PREPARED,
        prepared_at=desk.clock.now(),
        limit_price=limit_behind(price, side, of_float(desk.config.kill_max_slippage), instrument.tick),
        reduce_only=True,
    )


def limit_behind(price: Decimal, side: Side, slip: Decimal, tick: Decimal) -> Decimal:
    """The limit on the tick that is at most `slip` (a fraction) worse than `price`; where no tick lies between, the
    next one that is worse, so that the order is taken now."""

    def up(value: Decimal) -> Decimal:
        return floored(value.copy_negate(), tick).copy_negate()

    if side == "buy":
        return max(floored(times(price, 1 + slip), tick), up(price))
    return min(up(times(price, 1 - slip)), floored(price, tick)) or price


def state_of(desk: Desk) -> KillState:
    """Where the switch stands: armed where it never fired, or a person has reset it."""
    kill = _standing(desk)
    return KillState.ARMED if kill is None else KillState(kill["state"])


def _fired(desk: Desk) -> tuple[dict[str, Any], KillState]:
    kill = _standing(desk)
    assert kill is not None, "the caller knows that it fired"
    return kill, KillState(kill["state"])


def _standing(desk: Desk) -> dict[str, Any] | None:
    with desk.database.reading() as connections:
        return account.standing_kill(connections.project, desk.held.platform, desk.held.account_ref)


def _move(desk: Desk, kill: dict[str, Any], state: KillState, event: KillEvent, **values: Any) -> KillState:
    after = KillState(step(KILL_SWITCH, state, event).state)
    with desk.step("kill") as conn:
        switch.change(conn, kill["id"], state=after, **values)
    return after
