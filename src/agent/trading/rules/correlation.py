"""No further position that moves like others: refused where max_correlated_assets open positions correlate more than
correlation_threshold with it, entries that rest or are unknown among them, the sides counted (a short of what rises
with it is no likeness), dust not. Log returns of at most a hundred common bars; with fewer than thirty, what has the
same base, event or confirmed link counts as alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from statistics import StatisticsError, correlation
from typing import Any

from agent.trading.model import Account, Outcome, Position, Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import MARKET, Case, resting, view_of

PLACE, CLOSES = 140, False
MOST_BARS, LEAST_BARS = 100, 30


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse where enough open positions are alike."""
    side = _sign(proposal.side == "buy", proposal.outcome)
    alike: dict[str, float] = {}
    for market, sign in _open(view):
        if market != proposal.market_id:
            effective = likeness(proposal.market_id, market, view) * side * sign
            if effective > view.config.correlation_threshold:
                alike[market] = effective
    evidence = {"alike": alike, "threshold": view.config.correlation_threshold}
    if len(alike) < view.config.max_correlated_assets:
        return Allow(evidence)
    return Refuse(f"{len(alike)} positions move alike: {', '.join(sorted(alike))}", evidence)


def _open(view: View) -> Iterator[tuple[str, int]]:
    """Markets of positions, and of orders that may still open one; 1 where they gain with a rise, else -1."""
    for held in view.account.positions:
        if not view.is_dust(held):
            yield held.market_id, _sign(held.quantity > 0, held.outcome)
    for order in view.account.resting:
        if not order.reduce_only:
            yield order.market_id, _sign(order.side == "buy", order.outcome)


def _sign(is_long: bool, outcome: Outcome) -> int:
    return 1 if is_long != (outcome == "no") else -1


def likeness(market: str, other: str, view: View) -> float:
    """Correlation of the log returns of two markets; 1 or 0 by what is known of them where history is short."""
    one, two = view.bar_returns.get(market, ()), view.bar_returns.get(other, ())
    bars = min(len(one), len(two), MOST_BARS)
    if bars >= LEAST_BARS:
        try:
            return correlation(one[-bars:], two[-bars:])
        except StatisticsError:
            return 0.0  # one of them did not move at all
    if other in view.alike:
        return 1.0
    first, second = view.instrument_of(market), view.instrument_of(other)
    if first is None or second is None:
        return 0.0
    same = (first.base and first.base == second.base) or (first.event and first.event == second.event)
    return 1.0 if same else 0.0


_NAMES = ("kraken:BTC-USD", "kraken:BTC-EUR", "binance:BTC-USDT")


def _three(quantity: int | str, base: str, **of_one: Any) -> dict[str, object]:
    positions = tuple(
        Position(market_id=name, outcome="", quantity=Decimal(quantity), average=Decimal(1), mark=Decimal(1))
        for name in _NAMES
    )
    plain = replace(view_of(Case("")).instrument, **of_one)
    known = {name: replace(plain, market_id=name, base=base) for name in _NAMES}
    return {"account": Account(cash=Decimal(10_000), positions=positions), "instruments": known}


def _entering(count: int, **order: Any) -> dict[str, object]:
    orders = tuple(resting(market_id=name, **order) for name in _NAMES[:count])
    return _three(1, "BTC") | {"account": Account(cash=Decimal(10_000), resting=orders)}


_UP = [0.01 * (-1) ** bar for bar in range(30)]
_SAME = {MARKET: _UP, "kraken:BTC-USD": _UP, "kraken:BTC-EUR": _UP, "binance:BTC-USDT": _UP}
ALLOWS = (
    Case("other bases", view=_three(1, "ETH"), left="0.01"),
    Case("shorts of the same base", view=_three(-1, "BTC"), left="0.01"),
    Case("dust of three", view=_three("0.001", "BTC") | {"dust": Decimal("0.001")}, left="0.01"),
    Case("too little to sell", view=_three("0.001", "BTC", min_quantity=Decimal("0.0011")), left="0.01"),
    Case("two that rest", view=_entering(2), left="0.01"),
    Case("three that are being closed", view=_entering(3, side="sell", reduce_only=True), left="0.01"),
    Case("three that would be short", view=_entering(3, side="sell"), left="0.01"),
    Case("a fourth is allowed", view=_three(1, "BTC"), config={"max_correlated_assets": 4}, left="0.01"),
    Case(
        "history says that they differ",
        view=_three(1, "BTC") | {"bar_returns": _SAME | {MARKET: [0.01 * (-1) ** (bar // 2) for bar in range(30)]}},
        left="0.01",
    ),
)
REFUSES = (
    Case("three of the same base", view=_three(1, "BTC"), says="3 positions move alike"),
    Case("three entries rest", view=_entering(3), says="3 positions move alike"),
    Case("three entries are unknown", view=_entering(3, status="unknown"), says="3 positions move alike"),
    Case("history says that they are alike", view=_three(1, "ETH") | {"bar_returns": _SAME}, says="move alike"),
    Case("all short", view=_three(-1, "BTC"), proposal={"side": "sell"}, says="move alike"),
)
