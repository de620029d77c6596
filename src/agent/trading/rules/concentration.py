"""One market is at most max_concentration_pct of equity, with what rests and what is unknown; of a binary market both
outcomes count."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agent.amounts import less, money_text, ratio, total
from agent.trading.model import Account, Position, Proposal
from agent.trading.rule import Answer, Reduce, Refuse, View
from agent.trading.rule_example import MARKET, Case

PLACE, CLOSES = 120, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to the room that is left in this market."""
    most = view.percent_of_equity(view.config.max_concentration_pct)
    signed = view.held_or_resting(proposal.key)
    in_favour = signed if proposal.side == "buy" else signed.copy_negate()
    others = {one.key for one in view.account.positions if one.market_id == proposal.market_id} - {proposal.key}
    beside = total(view.held_or_resting(key).copy_abs() for key in others)
    room = less(most, in_favour, beside)
    percent = view.config.max_concentration_pct
    evidence = {"held": signed, "beside": beside, "most": most}
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


ALLOWS = (
    Case("30 % of 10 000", proposal={"quantity": Decimal("0.1")}, left="0.06"),
    Case("with what is held", proposal={"quantity": Decimal("0.1")}, view=_holding("0.05"), left="0.01"),
    Case("through zero", proposal={"quantity": Decimal(1), "side": "sell"}, view=_holding("0.05"), left="0.11"),
)
REFUSES = (
    Case("at the limit", view=_holding("0.06"), says="at its limit of 30 %"),
    Case("adopted, 40 %", view=_holding("0.08"), says="at its limit of 30 %"),
)
