"""The value at risk of a day is at most max_var_pct of equity, this trade in it: of prices the larger of history and
covariance, of binary markets exactly; beyond it the size is cut. All binary positions together cost at most
max_binary_loss_pct of equity."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from agent.amounts import money_text, total
from agent.trading.measures.stakes import outcomes_of
from agent.trading.measures.var import used
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Reduce, Refuse, View, largest
from agent.trading.rule_example import MARKET, Case, view_of

PLACE, CLOSES = 150, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to the largest size within both limits."""
    if view.equity <= 0:
        return Refuse(f"equity is {money_text(view.equity)}")
    most = view.percent_of_equity(view.config.max_var_pct)
    cost = view.percent_of_equity(view.config.max_binary_loss_pct)

    def fits(quantity: Decimal) -> bool:
        stakes = view.stakes(proposal, quantity)
        within = total(one.cost for one in stakes) <= cost if proposal.outcome else True
        return within and value_at_risk(proposal, view, quantity) <= float(most)

    if fits(proposal.quantity):
        return Allow({"var": value_at_risk(proposal, view, proposal.quantity), "most": most})
    fitting = largest(proposal.quantity, view.instrument.lot, fits)
    figure = value_at_risk(proposal, view, proposal.quantity)
    evidence = {"var": figure, "most": most, "most_binary_cost": cost}
    said = f"value at risk {figure:,.2f} of at most {money_text(most)} ({view.config.max_var_pct:.4g} % of equity)" + (
        f", binary cost of at most {money_text(cost)}" if proposal.outcome else ""
    )
    return Reduce(fitting, said, evidence) if fitting else Refuse(said, evidence)


def value_at_risk(proposal: Proposal, view: View, quantity: Decimal) -> float:
    """Of all positions with `quantity` of the proposal, in units of account."""
    stakes = view.stakes(proposal, quantity)
    mids = dict(view.mids)
    for one in stakes:  # where no book says more: its price
        price = float(one.value / one.quantity) if one.quantity else 0.5
        mids.setdefault(one.market_id, price if one.outcome == "yes" else 1.0 - price)
    notionals = {market: float(one) for market, one in view.notionals(proposal, quantity).items() if one}
    stops = dict(view.stops)
    if proposal.stop is not None:
        stops.setdefault(proposal.market_id, float(abs(proposal.reference - proposal.stop) / proposal.reference))
    return used(
        notionals,
        view.day_returns,
        outcomes_of(stakes, mids),
        equity=float(view.equity),
        confidence=view.config.var_confidence,
        stops=stops,
    )


_DAYS = {"day_returns": {MARKET: [0.04 * (-1) ** day for day in range(100)]}}
_BINARY = {"instrument": replace(view_of(Case("")).instrument, kind="binary", lot=Decimal(1))}
_YES = {"reference": Decimal("0.5"), "outcome": "yes", "stop": None}
ALLOWS = (
    Case("no history: a tenth of 500", left="0.01"),
    Case("no history, a limit of 0.25 %", config={"max_var_pct": 0.25}, left="0.005"),
    Case("1.65 x 4 % of 500", view=_DAYS, left="0.01"),
    Case("a binary loss of 500 is within", proposal=_YES | {"quantity": Decimal(1_000)}, view=_BINARY, left="1000"),
    Case("and of 600 is cut", proposal=_YES | {"quantity": Decimal(1_200)}, view=_BINARY, left="1000"),
)
REFUSES = (
    Case("not a lot fits", config={"max_var_pct": 1e-9}, says="value at risk"),
    Case(
        "binary cost",
        proposal=_YES | {"quantity": Decimal(1_000)},
        view=_BINARY,
        config={"max_binary_loss_pct": 0.001},
        says="binary cost of at most 0.1",
    ),
)
