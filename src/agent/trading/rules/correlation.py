"""No further position that moves like others: refused where max_correlated_assets open positions correlate more than
correlation_threshold with it, the sides counted (a short of what rises with it is no likeness), dust not. Log returns
of at most a hundred common bars; with fewer than thirty, what has the same base, event or confirmed link counts as
alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from statistics import StatisticsError, correlation
from typing import Any

from agent.trading.model import Account, Position, Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import MARKET, Case, view_of

PLACE, CLOSES = 140, False
MOST_BARS, LEAST_BARS = 100, 30


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse where enough open positions are alike."""
    side = 1 if (proposal.side == "buy") != (proposal.outcome == "no") else -1
    alike: dict[str, float] = {}
    for held in view.account.positions:
        if held.market_id != proposal.market_id and not view.is_dust(held):
            sign = 1 if (held.quantity > 0) != (held.outcome == "no") else -1
            effective = likeness(proposal.market_id, held.market_id, view) * side * sign
            if effective > view.config.correlation_threshold:
                alike[held.market_id] = effective
    evidence = {"alike": alike, "threshold": view.config.correlation_threshold}
    if len(alike) < view.config.max_correlated_assets:
        return Allow(evidence)
    return Refuse(f"{len(alike)} positions move alike: {', '.join(sorted(alike))}", evidence)


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


def _three(quantity: int | str, base: str, **of_one: Any) -> dict[str, object]:
    names = ("kraken:BTC-USD", "kraken:BTC-EUR", "binance:BTC-USDT")
    positions = tuple(
        Position(market_id=name, outcome="", quantity=Decimal(quantity), average=Decimal(1), mark=Decimal(1))
        for name in names
    )
    plain = replace(view_of(Case("")).instrument, **of_one)
    known = {name: replace(plain, market_id=name, base=base) for name in names}
    return {"account": Account(cash=Decimal(10_000), positions=positions), "instruments": known}


_UP = [0.01 * (-1) ** bar for bar in range(30)]
_SAME = {MARKET: _UP, "kraken:BTC-USD": _UP, "kraken:BTC-EUR": _UP, "binance:BTC-USDT": _UP}
ALLOWS = (
    Case("other bases", view=_three(1, "ETH"), left="0.01"),
    Case("shorts of the same base", view=_three(-1, "BTC"), left="0.01"),
    Case("dust of three", view=_three("0.001", "BTC") | {"dust": Decimal("0.001")}, left="0.01"),
    Case("too little to sell", view=_three("0.001", "BTC", min_quantity=Decimal("0.0011")), left="0.01"),
    Case("a fourth is allowed", view=_three(1, "BTC"), config={"max_correlated_assets": 4}, left="0.01"),
    Case(
        "history says that they differ",
        view=_three(1, "BTC") | {"bar_returns": _SAME | {MARKET: [0.01 * (-1) ** (bar // 2) for bar in range(30)]}},
        left="0.01",
    ),
)
REFUSES = (
    Case("three of the same base", view=_three(1, "BTC"), says="3 positions move alike"),
    Case("history says that they are alike", view=_three(1, "ETH") | {"bar_returns": _SAME}, says="move alike"),
    Case("all short", view=_three(-1, "BTC"), proposal={"side": "sell"}, says="move alike"),
)
