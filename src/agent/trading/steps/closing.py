"""The kill switch at work: what is measured, what is written when it fires, and one step of closing everything.

The row is committed first, with its cause; from then on T7 denies every other order. Each step may be the last one of
its process: the next start goes on with the row as it stands.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.amounts import of_float, times
from agent.store.trading import account, deciding, orders, switch
from agent.trading.config import TradingAgentConfig
from agent.trading.kill_switch import (
    KILL_SWITCH,
    SECONDS_TO_CANCEL,
    SECONDS_TO_CLOSE,
    Cause,
    Fired,
    KillEvent,
    KillState,
    Limits,
    Reading,
    decide_kill,
)
from agent.trading.model import Key, Order, Purpose, Quote, Side
from agent.trading.rule import floored
from agent.trading.states.machine import step
from agent.trading.states.orders import OrderState, client_order_id, is_ours
from agent.trading.states.permissions import Reason
from agent.trading.steps import pausing
from agent.trading.steps.desk import Desk, Wait, being_closed, in_flight, state_by, to_close
from agent.trading.steps.execute import cancel, follow, place
from agent.trading.steps.recover import recover

_AT_THE_END = {"code": "exit", "text": "the run ended, and what it holds is closed (on_exit)"}


def limits_of(config: TradingAgentConfig) -> Limits:
    """The limits as amounts."""

    def known(value: float | str) -> Decimal | None:
        return None if isinstance(value, str) else of_float(value)

    return Limits(
        loss=known(config.kill_switch_loss_pct),
        drawdown=of_float(config.max_drawdown_pct),
        gain=known(config.kill_switch_gain_pct),
        stale_kills=config.stale_action == "kill",
    )


def check(conn: Any, desk: Desk, reading: Reading, now: datetime) -> Fired | None:
    """Whether everything is to be closed now; where it is, the row is written in this transaction. Where it is not, a
    softer limit may pause the trader."""
    file = desk.kill_file()
    asked = Cause.KILL_FILE if file is not None else None
    limits = limits_of(desk.config)
    fired = decide_kill(reading, limits, asked)
    if fired is not None:
        who = "" if file is None else file.read_text(encoding="utf-8", errors="replace").strip()[:200]
        trigger(conn, desk, fired, reading.equity, now, by=who or "trader")
    else:
        pausing.check(conn, desk, reading, limits, now)
    return fired


def trigger(conn: Any, desk: Desk, fired: Fired, equity: Decimal | None, now: datetime, by: str) -> None:
    """Write down that it fired; one that fired already has one more cause."""
    standing = account.standing_kill(conn, desk.held.platform, desk.held.account_ref)
    if standing is not None:
        switch.add_cause(conn, standing, str(fired.cause))
        return
    row = {
        "id": str(uuid.uuid4()),
        "platform": desk.held.platform,
        "account_ref": desk.held.account_ref,
        "agent_id": desk.agent_id,
        "state": KillState.TRIGGERED,
        "cause": [str(fired.cause)],
        "limit_value": float(fired.limit),
        "measured": float(fired.measured),
        "equity": equity,
        "triggered_at": now,
        "triggered_by": by,
    }
    switch.trigger(conn, row)
    account.set_reason(conn, desk.agent_id, str(Reason.KILL), f"kill switch: {fired.cause}", state_by)


def acknowledge_file(desk: Desk) -> None:
    """Rename a KILL file once its row is committed, so that it fires once."""
    path = desk.kill_file()
    if path is not None:
        sys.audit("tidemill.point", "trader.kill_file.acknowledging")
        path.replace(path.with_name(path.name + ".seen"))


def advance(desk: Desk, wait: Wait | None = None) -> KillState:
    """One step of closing everything; returns where it stands after it. wait: until a platform whose positions may lag
    is asked once more whether it holds nothing; None: there it stays in closing."""
    follow(desk)
    recover(desk)
    kill = _standing(desk)
    state = KillState(kill["state"])
    if state is KillState.TRIGGERED:
        _move(desk, kill, state, KillEvent.CANCEL)
        return KillState.CANCELLING
    if state is KillState.CANCELLING:
        return _cancel_all(desk, kill)
    if state is KillState.FLAT:
        return state
    return _close_all(desk, kill, state, wait)


def _cancel_all(desk: Desk, kill: dict[str, Any]) -> KillState:
    with desk.database.reading() as connections:
        flying = in_flight(connections.project, desk.agent_id)
    for order in flying:
        cancel(desk, order)
    with desk.database.reading() as connections:
        left = in_flight(connections.project, desk.agent_id)
    if not left and _none_rests(desk):
        return _move(desk, kill, KillState.CANCELLING, KillEvent.NONE_LEFT)
    if (desk.clock.now() - kill["triggered_at"]).total_seconds() >= SECONDS_TO_CANCEL:
        return _move(desk, kill, KillState.CANCELLING, KillEvent.TIME_OVER)
    return KillState.CANCELLING


def _close_all(desk: Desk, kill: dict[str, Any], state: KillState, wait: Wait | None) -> KillState:
    _take_back_what_is_behind(desk)
    with desk.database.reading() as connections:
        held = to_close(desk, connections.project)
        busy = being_closed(desk, connections.project)
        known = orders.of_agent(connections.project, desk.agent_id)
    if not held and not busy and _is_flat(desk) and _is_still_flat(desk, wait):
        return _move(desk, kill, state, KillEvent.FLAT, flat_at=desk.clock.now())
    left = []
    for key, (quantity, _) in sorted(held.items()):
        if key in busy:
            continue
        legs = sum(one["kill_id"] == kill["id"] and (one["market_id"], one["outcome"]) == key for one in known)
        order = closing_order(desk, kill["id"], "kill", key, quantity, legs)
        if isinstance(order, str):
            left.append({"market": key[0], "outcome": key[1], "why": order})
        elif place(desk, order, kill_id=kill["id"], leg=legs) in (OrderState.DENIED, OrderState.REJECTED):
            left.append({"market": key[0], "outcome": key[1], "why": "the platform does not take the order"})
    is_late = (desk.clock.now() - kill["triggered_at"]).total_seconds() >= SECONDS_TO_CLOSE
    if state is KillState.CLOSING and (left or (is_late and not busy)):
        return _move(desk, kill, state, KillEvent.CANNOT_CLOSE, stuck=left)
    return state


def _take_back_what_is_behind(desk: Desk) -> None:
    """Cancel what closes at a limit that the market has left behind: it would rest for as long as the price stays away,
    and the next order takes what there is now."""
    with desk.database.reading() as connections:
        flying = in_flight(connections.project, desk.agent_id)
    for order in flying:
        if order.purpose == "kill" and order.status in (OrderState.OPEN, OrderState.PARTIAL):
            price = _closing_price(_shown(desk, order.key), order.side)
            if price and order.limit_price is not None:
                is_behind = price < order.limit_price if order.side == "sell" else price > order.limit_price
                if is_behind:
                    cancel(desk, order)


def _shown(desk: Desk, key: Key) -> Quote | None:
    """What the market shows of an outcome."""
    shown = desk.quote(key[0])
    return shown if shown is None or key[1] != "no" else shown.no


def _closing_price(quote: Quote | None, side: Side) -> Decimal | None:
    """What an order of this side would get."""
    return None if quote is None else quote.bid if side == "sell" else quote.ask


def _none_rests(desk: Desk) -> bool:
    """Whether the platform lists no order that may still fill."""
    said = desk.platform.snapshot((), None)
    return said.is_complete and not any(one.status == "open" for one in said.orders if is_ours(one.client_order_id))


def _is_flat(desk: Desk) -> bool:
    """Whether the platform says that nothing is held, dust aside. What could not be read is never flat."""
    said = desk.platform.snapshot((), None)
    if not said.is_complete or said.holdings is None:
        return False
    return all(desk.is_dust(key, one.quantity) for key, one in said.holdings.items())


def _is_still_flat(desk: Desk, wait: Wait | None) -> bool:
    """Whether it says so again after a while: a list of positions may lag behind fills, and a fill may come late."""
    if desk.platform.capabilities.is_at_once:
        return True
    return wait is not None and wait(desk.config.flat_again_seconds) and _is_flat(desk)


def decide_and_close(
    desk: Desk, purpose: Purpose, key: Key, quantity: Decimal, why: Mapping[str, Any], *parts: object
) -> bool:
    """Decide outside of a cycle that a position is closed, and send what closes it; False where nothing could be sent.
    why: the decision's reason; parts: which decision it is: the same one again is the same order."""
    its = deciding.closing_id(desk.agent_id, purpose, *key, *parts)
    order = closing_order(desk, its, purpose, key, quantity, 0)
    if isinstance(order, str):
        return False
    quote, now = desk.quote(key[0]), desk.clock.now()
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
    return True


def close_positions(desk: Desk) -> int:
    """Send what closes everything that is held and not being closed, at the end of a run; returns how many orders."""
    follow(desk)
    with desk.database.reading() as connections:
        held = to_close(desk, connections.project)
        busy = being_closed(desk, connections.project)
        row = account.load(connections.project, desk.agent_id)
    sent = 0
    for key, (quantity, _) in sorted(held.items()):
        which = (row["cycle"], desk.held.lease.token)
        if key not in busy:
            sent += decide_and_close(desk, "exit", key, quantity, _AT_THE_END, *which)
    return sent


def closing_order(
    desk: Desk, origin: str, purpose: Purpose, key: tuple[str, str], quantity: Decimal, leg: int
) -> Order | str:
    """The order that closes a position: at a limit that is kill_max_slippage behind the quote. A text: why there is
    none. origin: what its id is made from."""
    quote = _shown(desk, key)
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
    """Where the switch that fired stands."""
    return KillState(_standing(desk)["state"])


def _standing(desk: Desk) -> dict[str, Any]:
    with desk.database.reading() as connections:
        found = account.standing_kill(connections.project, desk.held.platform, desk.held.account_ref)
    assert found is not None, "the caller knows that it fired"
    return found


def _move(desk: Desk, kill: dict[str, Any], state: KillState, event: KillEvent, **values: Any) -> KillState:
    after = KillState(step(KILL_SWITCH, state, event).state)
    with desk.step("kill") as conn:
        switch.change(conn, kill["id"], state=after, **values)
    return after
