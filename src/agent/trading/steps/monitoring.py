"""What the monitor does at each look: book what came in, measure the account, and close what reached its stop-loss or
take-profit. It opens nothing and decides about no market."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.store.trading import account, orders
from agent.trading.ensemble import limit_reached
from agent.trading.feed import max_mark_age
from agent.trading.model import Position, Purpose
from agent.trading.states.permissions import MAY, Send, TradingState
from agent.trading.steps.closing import decide_and_close
from agent.trading.steps.cycle import look
from agent.trading.steps.desk import Desk, account_of, being_closed
from agent.trading.steps.execute import valued


def tick(desk: Desk) -> bool:
    """One look; whether the kill switch fired, which closes everything by itself."""
    if look(desk):
        return True
    if desk.config.stop_loss is not None or desk.config.take_profit is not None:
        _close_what_is_due(desk)
    return False


def _close_what_is_due(desk: Desk) -> None:
    """Send what closes positions that reached a limit."""
    marks, now = valued(desk), desk.clock.now()
    with desk.database.reading() as connections:
        held = account_of(desk, connections.project, marks)
        busy = being_closed(desk, connections.project)
        row = account.load(connections.project, desk.agent_id)
    if Send.REDUCE not in MAY[TradingState(row["trading_state"])]:
        return
    for one in held.positions:
        why = None if one.key in busy else _due(desk, one, now)
        if why is not None:
            _close(desk, one, *why)


def _due(desk: Desk, position: Position, now: datetime) -> tuple[Purpose, Mapping[str, Any]] | None:
    """Which limit a position reached, by a fresh quote of an open market, and the words for it; None where none."""
    market = position.market_id
    is_ours = market in desk.markets or market in desk.watched
    if not is_ours or desk.is_dust(position.key, position.quantity):
        return None
    quote, listing = desk.quote(market), desk.feed.listing(market)
    if quote is None or not quote.is_open:
        return None
    if now - quote.ts > max_mark_age(listing, desk.config.max_mark_age_seconds):
        return None
    return limit_reached(position, quote, desk.config)


def _close(desk: Desk, position: Position, purpose: Purpose, why: Mapping[str, Any]) -> None:
    """The decision's id is made from how many orders there were: the same one again is the same order."""
    with desk.database.reading() as connections:
        rows = orders.of_agent(connections.project, desk.agent_id)
    number = sum((one["market_id"], one["outcome"]) == position.key for one in rows)
    decide_and_close(desk, purpose, position.key, position.quantity, why, number)
