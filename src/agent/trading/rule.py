"""The gatekeeper: what a risk rule is, and how all of them judge one proposal. Pure.

A rule is one file in rules/: its docstring is what users read, PLACE its place in the order, CLOSES whether it judges
what reduces a position too, `check` its arithmetic, ALLOWS and REFUSES its examples, which are its tests. A rule makes
a proposal smaller or refuses it; none can make one larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Protocol

from agent.amounts import EXACT, exact, less, of_float, share, times, total
from agent.trading.config import TradingAgentConfig, TradingMode
from agent.trading.measures.stakes import Stake
from agent.trading.model import ZERO, Account, Instrument, Key, Outcome, Position, Proposal, Quote, Verdict
from pipelines.costs import Costs


@dataclass(frozen=True, slots=True)
class Allow:
    """Nothing to say against it."""

    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reduce:
    """At most `quantity`."""

    quantity: Decimal
    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not at all."""

    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


Answer = Allow | Reduce | Refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What may not be opened until a time. market_id and side: * for all. price: what it was made at; it ends early
    where the price has moved."""

    market_id: str
    side: str
    until: datetime
    reason: str
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """The release that a decision was made with. as_of: newest tick of this very market; bar_seconds: length of its
    bars; open_seconds: how long the market has been open since as_of; is_bar_decided: an entry was decided on this bar.
    untradable: why its assessment does not call it tradable.
    """

    as_of: datetime
    bar_seconds: float
    open_seconds: float
    is_current: bool = True
    is_gated: bool = True
    is_tradable: bool = True
    untradable: str = ""
    is_historical: bool = False
    is_bar_decided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that rules see.

    quote: of the proposal's outcome. belief: probability of that outcome after shrinking, of a binary market. sent:
    when today's orders were that count; lately: when those of the last minute were. day_returns: simple daily returns,
    the oldest first. bar_returns: log returns of common bars. alike: markets known to ask the same. stops: fractions.
    mids: of YES of binary markets. mean_volume: of the last twenty bars. reserved: cash that resting and unknown orders
    and earlier proposals of this cycle may need. dust: quantities that the platform counts as none.
    """

    config: TradingAgentConfig
    mode: TradingMode
    instrument: Instrument
    quote: Quote
    account: Account
    costs: Costs
    release: ReleaseFacts
    belief: float | None = None
    locks: tuple[Lock, ...] = ()
    sent: tuple[datetime, ...] = ()
    lately: tuple[datetime, ...] = ()
    day_returns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    bar_returns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    alike: frozenset[str] = frozenset()
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    mids: Mapping[str, float] = field(default_factory=dict)
    stops: Mapping[str, float] = field(default_factory=dict)
    mean_volume: Decimal | None = None
    reserved: Decimal = ZERO
    dust: Decimal = ZERO

    @property
    def equity(self) -> Decimal:
        """Cash and positions at their marks."""
        return self.account.equity

    def percent_of_equity(self, percent: float) -> Decimal:
        """An amount: `percent` per cent of equity."""
        return share(self.equity, of_float(percent), Decimal(100))

    def reach(self, key: Key) -> tuple[Decimal, Decimal]:
        """Signed notional of `key` at most and at least: what is held at its mark, with all that resting and unknown
        orders may buy, and with all that they may sell. Nobody knows which of them fill."""
        held = self.account.position(key)
        high = low = ZERO if held is None else held.value
        for order in self.account.resting:
            if order.key == key and not order.reduce_only:
                notional = times(order.rest, order.price)
                if order.side == "buy":
                    high = total((high, notional))
                else:
                    low = less(low, notional)
        return high, low

    def instrument_of(self, market_id: str) -> Instrument | None:
        """What is known of a market; the proposal's own is."""
        return self.instrument if market_id == self.instrument.market_id else self.instruments.get(market_id)

    def is_dust(self, position: Position) -> bool:
        """Whether so little is held that nobody takes an order for it: valued and shown, and in no entry's way."""
        size, its = position.quantity.copy_abs(), self.instrument_of(position.market_id)
        if not size or size <= self.dust:
            return True
        return its is not None and (size <= its.dust or size < its.min_quantity)

    def stakes(self, proposal: Proposal, quantity: Decimal) -> list[Stake]:
        """All binary positions, entries that rest, and `quantity` of the proposal where it is one."""
        found = [
            Stake(one.market_id, self._event(one.market_id), one.outcome, one.quantity, one.cost, one.value)
            for one in self.account.positions
            if one.outcome
        ]
        for order in self.account.resting:
            if order.outcome and order.side == "buy":
                cost = times(order.rest, order.price)
                found.append(self._stake(order.market_id, order.outcome, order.rest, cost))
        if proposal.outcome and proposal.side == "buy" and quantity:
            cost = times(quantity, proposal.reference)
            found.append(self._stake(proposal.market_id, proposal.outcome, quantity, cost))
        return found

    def notionals(self, proposal: Proposal, quantity: Decimal) -> dict[str, Decimal]:
        """Signed notionals of markets that are not binary, the larger of both ways that each may go: what is held, what
        rests, and `quantity` of the proposal."""
        found = {key[0]: self.reach(key) for key in self.held_and_resting() if not key[1]}
        if not proposal.outcome:
            added = times(quantity, proposal.reference)
            high, low = found.get(proposal.market_id, (ZERO, ZERO))
            bought = (total((high, added)), low) if proposal.side == "buy" else (high, less(low, added))
            found[proposal.market_id] = bought
        return {market: max(ways, key=Decimal.copy_abs) for market, ways in found.items()}

    def held_and_resting(self) -> set[Key]:
        """All that is held or that an order may still fill."""
        return {one.key for one in self.account.positions} | {one.key for one in self.account.resting}

    def _stake(self, market_id: str, outcome: Outcome, quantity: Decimal, cost: Decimal) -> Stake:
        return Stake(market_id, self._event(market_id), outcome, quantity, cost, cost)

    def _event(self, market_id: str) -> str:
        instrument = self.instrument_of(market_id)
        return "" if instrument is None else instrument.event


class Rule(Protocol):
    """A module of rules/."""

    __name__: str
    __doc__: str | None
    PLACE: int
    CLOSES: bool

    def check(self, proposal: Proposal, view: View, now: datetime) -> Answer:
        """What the rule says about `proposal`."""


@dataclass(frozen=True, slots=True)
class Review:
    """What all rules said. quantity: what is left, 0 where one refused."""

    verdicts: tuple[Verdict, ...]
    quantity: Decimal

    @property
    def refusal(self) -> Verdict | None:
        """The rule that refused, if one did."""
        return next((one for one in self.verdicts if one.verdict == "refuse"), None)


def review(rules: Sequence[Rule], proposal: Proposal, view: View, now: datetime) -> Review:
    """Ask all rules in their order, each about what the ones before it left; the first refusal ends it.

    What reduces a position is judged by those rules alone that judge closing. Sizes are floored to the lot, and one
    that comes to nothing by that is refused.
    """
    verdicts: list[Verdict] = []
    left = proposal
    for rule in sorted(rules, key=lambda one: one.PLACE):
        if proposal.reduces and not rule.CLOSES:
            continue
        verdict = _verdict(rule, left, view, now)
        verdicts.append(verdict)
        if verdict.verdict == "refuse":
            return Review(tuple(verdicts), ZERO)
        left = smaller(left, verdict.after)
    return Review(tuple(verdicts), left.quantity)


def smaller(proposal: Proposal, quantity: Decimal) -> Proposal:
    """The same proposal for `quantity`. Raises ValueError where that is more, or none."""
    if quantity > proposal.quantity:
        raise ValueError(f"a proposal of {proposal.quantity} cannot become one of {quantity}")

    return replace(proposal, quantity=quantity)


def floored(quantity: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `quantity`."""
    return exact(EXACT.multiply(EXACT.divide(quantity, step).to_integral_value(rounding=ROUND_FLOOR), step))


def largest(quantity: Decimal, lot: Decimal, fits: Callable[[Decimal], bool]) -> Decimal:
    """The largest number of lots up to `quantity` that fits, by bisection; 0 where not even none does.

    fits(0) and not fits(q) must mean that there is one edge in between, as of risks that grow with the size.
    """
    if fits(quantity):
        return quantity
    if not fits(ZERO):
        return ZERO
    low, high = 0, int(EXACT.divide(quantity, lot).to_integral_value(rounding=ROUND_FLOOR)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(min(quantity, times(lot, Decimal(middle)))) else (low, middle)
    return times(lot, Decimal(low))


def name_of(rule: Rule) -> str:
    """The name of a rule: that of its file."""
    return rule.__name__.rpartition(".")[2]


def _verdict(rule: Rule, proposal: Proposal, view: View, now: datetime) -> Verdict:
    """A rule's answer as a row. What asks for more than there is allows; what leaves nothing refuses."""
    name, before = name_of(rule), proposal.quantity
    answer = rule.check(proposal, view, now)
    match answer:
        case Allow():
            return Verdict(rule=name, verdict="allow", before=before, after=before, reason="", evidence=answer.evidence)
        case Refuse(why):
            return Verdict(rule=name, verdict="refuse", before=before, after=ZERO, reason=why, evidence=answer.evidence)
        case Reduce(quantity, why):
            after = floored(max(ZERO, min(quantity, before)), view.instrument.lot) if quantity < before else before
            said = "allow" if after == before else "reduce" if after > 0 else "refuse"
            return Verdict(
                rule=name,
                verdict=said,  # type: ignore[arg-type]  # one of the three
                before=before,
                after=after,
                reason="" if said == "allow" else why,
                evidence=answer.evidence,
            )
