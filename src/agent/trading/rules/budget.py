"""Cash that is not reserved pays for the trade, with its slippage and the worst fee. Reserved is what resting and
unknown orders and earlier proposals of the same cycle may need."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agent.amounts import less, money_text, of_float, ratio, times, total
from agent.trading.model import Proposal
from agent.trading.rule import Answer, Reduce, Refuse, View
from agent.trading.rule_example import Case

PLACE, CLOSES = 160, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to what free cash pays for."""
    free = less(view.account.cash, view.reserved)
    price = proposal.reference
    slippage = of_float(view.costs.slippage)
    slipped = total((price, slippage if view.instrument.is_binary else times(price, slippage)))
    unit = total((slipped, of_float(view.costs.unit_fee(float(slipped)))))
    evidence = {"free": free, "unit": unit}
    if free <= 0:
        return Refuse(
            f"no cash is free: {money_text(view.account.cash)} less {money_text(view.reserved)} reserved", evidence
        )
    return Reduce(ratio(free, unit), f"free cash is {money_text(free)}", evidence)


ALLOWS = (
    Case("enough", left="0.01"),
    Case("with the fee", proposal={"quantity": Decimal(1)}, view={"reserved": Decimal(4_995)}, left="0.1"),
)
REFUSES = (Case("all is reserved", view={"reserved": Decimal(10_000)}, says="no cash is free"),)
