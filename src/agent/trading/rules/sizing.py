"""How much one trade may risk. Of a price: equity x risk_percentage / (100 x distance of entry and stop); the stop is
the decision's, else --stop-loss, else sizing_stop_loss_percentage. Of a binary market: a part of Kelly's stake, at its
cost with the fee, so that without an edge after costs nothing is bought."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from agent.amounts import less, money_text, of_float, ratio, share, times, total
from agent.trading.measures.kelly import contract_cost, stake
from agent.trading.model import Proposal
from agent.trading.rule import Answer, Reduce, Refuse, View
from agent.trading.rule_example import Case, view_of
from pipelines.costs import Costs
from pipelines.figures import percent_text

PLACE, CLOSES = 110, False
_HUNDRED = Decimal(100)


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Reduce to the size that the risk allows."""
    if view.equity <= 0:
        return Refuse(f"equity is {money_text(view.equity)}")
    return _binary(proposal, view) if view.instrument.is_binary else _price(proposal, view)


def _price(proposal: Proposal, view: View) -> Answer:
    entry, stop = proposal.reference, _stop(proposal, view)
    distance = less(entry, stop).copy_abs()
    if not distance:
        return Refuse("the stop is the entry: no size can be reckoned", {"stop": stop})
    risk = view.percent_of_equity(view.config.risk_percentage)
    most = ratio(risk, distance)
    return Reduce(
        most, f"risk {view.config.risk_percentage:.4g} % of {money_text(view.equity)}", {"stop": stop, "quantity": most}
    )


def _stop(proposal: Proposal, view: View) -> Decimal:
    if proposal.stop is not None:
        return proposal.stop
    config = view.config
    if config.stop_loss is None:
        distance = share(proposal.reference, of_float(config.sizing_stop_loss_percentage), _HUNDRED)
    else:
        distance = times(proposal.reference, of_float(config.stop_loss))
    return less(proposal.reference, distance) if proposal.side == "buy" else total((proposal.reference, distance))


def _binary(proposal: Proposal, view: View) -> Answer:
    if proposal.side == "sell":
        return Refuse("a binary market is not sold short: its other outcome is bought")
    if view.belief is None:
        return Refuse("nobody says how probable it is")
    price = float(proposal.reference)
    part = stake(view.belief, price, view.costs.fee, view.config.kappa)
    cost = contract_cost(price, view.costs.fee)
    evidence = {"belief": view.belief, "cost": cost, "stake": part}
    if part <= 0:
        return Refuse(f"no edge: {view.belief:.4f} is not above the cost of {cost:.4f}", evidence)
    money = times(view.equity, of_float(part))
    return Reduce(ratio(money, of_float(cost)), f"{percent_text(part, 3)} of {money_text(view.equity)}", evidence)


_BINARY = {"instrument": replace(view_of(Case("")).instrument, kind="binary", lot=Decimal(1)), "belief": 0.60}
_HALF = {"reference": Decimal("0.5"), "outcome": "yes", "quantity": Decimal(100_000), "stop": None}
ALLOWS = (
    Case("1 % of 10 000, stop 2 %", proposal={"quantity": Decimal(1)}, left="0.1"),
    Case("without a stop of its own", proposal={"quantity": Decimal(1), "stop": None}, left="0.1"),
    Case("--stop-loss", proposal={"quantity": Decimal(1), "stop": None}, config={"stop_loss": 0.04}, left="0.05"),
    Case("less than allowed", left="0.01"),
    Case("binary, no fee: 5 %", proposal=_HALF, view=_BINARY | {"costs": Costs(is_binary=True)}, left="1000"),
    Case("0.04: 4.592 %", proposal=_HALF, view=_BINARY | {"costs": Costs(fee=0.04, is_binary=True)}, left="900"),
    Case("0.07: 4.275 %", proposal=_HALF, view=_BINARY | {"costs": Costs(fee=0.07, is_binary=True)}, left="826"),
)
REFUSES = (
    Case("a stop at the entry", proposal={"stop": Decimal(50_000)}, says="the stop is the entry"),
    Case(
        "no edge after the fee",
        proposal=_HALF,
        view=_BINARY | {"belief": 0.51, "costs": Costs(fee=0.07, is_binary=True)},
        says="no edge: 0.5100 is not above the cost of 0.5175",
    ),
    Case("nobody knows", proposal=_HALF, view=_BINARY | {"belief": None}, says="how probable"),
    Case("sold short", proposal=_HALF | {"side": "sell"}, view=_BINARY, says="not sold short"),
)
