"""One market is at most max_concentration_pct of equity, with what rests and what is unknown; of a binary market both
outcomes count."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from agent.amounts import less, money_text, ratio, total
from agent.trading.model import Account, Order, Position, Proposal
from agent.trading.rule import Answer, Reduce, Refuse, View
from agent.trading.rule_example import MARKET, Case, resting

PLACE, CLOSES = 120, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to the room that is left in this market."""
    most = view.percent_of_equity(view.config.max_concentration_pct)
    high, low = view.reach(proposal.key)
    in_favour = high if proposal.side == "buy" else low.copy_negate()
    others = {key for key in view.held_and_resting() if key[0] == proposal.market_id} - {proposal.key}
    beside = total(max(one.copy_abs() for one in view.reach(key)) for key in others)
    room = less(most, in_favour, beside)
    percent = view.config.max_concentration_pct
    evidence = {"held": in_favour, "beside": beside, "most": most}
    if room <= 0:
        return Refuse(
            f"{proposal.market_id} is at its limit of {percent:.4g} % of equity, {money_text(most)}", evidence
        )
    return Reduce(
        ratio(room, proposal.reference),
        f"at most {percent:.4g} % of equity, {money_text(most)}, in one market",
        evidence,
    )


def _holding(quantity: str) -> dict[str, Account]:
    size, price = Decimal(quantity), Decimal(50_000)
    position = Position(market_id=MARKET, outcome="", quantity=size, average=price, mark=price)
    return {"account": Account(cash=Decimal(10_000) - size * price, positions=(position,))}


def _beside(*orders: Order) -> dict[str, Account]:
    return {"account": Account(cash=Decimal(10_000), resting=orders)}


_NO = resting(outcome="no", quantity=Decimal(5_000), limit_price=Decimal("0.5"))
_YES = {"outcome": "yes", "quantity": Decimal(10_000), "reference": Decimal("0.5"), "stop": None}
_SOLD = resting(side="sell", quantity=Decimal("0.06"), limit_price=Decimal(50_000))
ALLOWS = (
    Case("the other outcome rests", proposal=_YES, view=_beside(_NO), left="1000"),
    Case("what closes the other outcome", proposal=_YES, view=_beside(replace(_NO, reduce_only=True)), left="6000"),
    Case("a sale that rests may not fill", proposal={"quantity": Decimal("0.1")}, view=_beside(_SOLD), left="0.06"),
    Case("30 % of 10 000", proposal={"quantity": Decimal("0.1")}, left="0.06"),
    Case("with what is held", proposal={"quantity": Decimal("0.1")}, view=_holding("0.05"), left="0.01"),
    Case("through zero", proposal={"quantity": Decimal(1), "side": "sell"}, view=_holding("0.05"), left="0.11"),
)
REFUSES = (
    Case("at the limit", view=_holding("0.06"), says="at its limit of 30 %"),
    Case(
        "the other outcome is unknown",
        proposal=_YES,
        view=_beside(replace(_NO, quantity=Decimal(6_000), status="unknown")),
        says="at its limit of 30 %",
    ),
    Case(
        "what rests would bring it there", proposal={"side": "sell"}, view=_beside(_SOLD), says="at its limit of 30 %"
    ),
    Case("adopted, 40 %", view=_holding("0.08"), says="at its limit of 30 %"),
)
