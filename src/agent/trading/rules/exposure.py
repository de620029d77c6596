"""All positions together are at most max_exposure_pct of equity. A binary position counts what it cost, a set of
markets that exclude each other its worst outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.amounts import money_text, total
from agent.trading.measures.stakes import worst_loss
from agent.trading.model import Account, Position, Proposal
from agent.trading.rule import Answer, Reduce, Refuse, View, largest
from agent.trading.rule_example import Case, resting

PLACE, CLOSES = 130, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to the room that is left."""
    most = view.percent_of_equity(view.config.max_exposure_pct)

    def exposure(quantity: Decimal) -> Decimal:
        notionals = view.notionals(proposal, quantity).values()
        return total((*(one.copy_abs() for one in notionals), worst_loss(view.stakes(proposal, quantity))))

    fitting = largest(proposal.quantity, view.instrument.lot, lambda quantity: exposure(quantity) <= most)
    evidence = {"exposure": exposure(proposal.quantity), "most": most}
    said = f"all positions are at most {view.config.max_exposure_pct:.4g} % of equity, {money_text(most)}"
    return Reduce(fitting, said, evidence) if fitting else Refuse(said, evidence)


def _short(quantity: str) -> dict[str, Account]:
    price = Decimal(1_000)
    held = Position(market_id="coinbase:ETH-USD", outcome="", quantity=-Decimal(quantity), average=price, mark=price)
    return {"account": Account(cash=Decimal(10_000) + Decimal(quantity) * price, positions=(held,))}


def _beside(held: str, **order: Any) -> dict[str, Account]:
    account = _short(held)["account"]
    there = resting(market_id="coinbase:ETH-USD", limit_price=Decimal(1_000), **order)
    return {"account": replace(account, resting=(there,))}


ALLOWS = (
    Case("alone", left="0.01"),
    Case("beside a short of 9 500", view=_short("9.5"), left="0.01"),
    Case("beside a short of 9 800", view=_short("9.8"), left="0.004"),
)
REFUSES = (
    Case("full", view=_short("10"), says="at most 100 % of equity"),
    Case("what rests fills it", view=_beside("5", side="sell", quantity=Decimal(5)), says="at most 100 % of equity"),
    Case("what rests may not fill", view=_beside("10", quantity=Decimal(10)), says="at most 100 % of equity"),
)
