"""Binary positions by event: what they cost, what they pay for each outcome, and what the worst one leaves. Pure.

Markets of one event exclude each other: at most one of them comes out YES (a set of negative risk). A market without an
event is one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.amounts import less, total
from agent.trading.measures.var import Event
from agent.trading.model import ZERO, Outcome


@dataclass(frozen=True, slots=True)
class Stake:
    """`quantity` contracts of an outcome, bought for `cost`, worth `value` by their mark."""

    market_id: str
    event: str
    outcome: Outcome
    quantity: Decimal
    cost: Decimal
    value: Decimal


def by_event(stakes: Iterable[Stake]) -> dict[str, list[Stake]]:
    """Stakes by what decides them."""
    found: dict[str, list[Stake]] = {}
    for one in stakes:
        found.setdefault(one.event or one.market_id, []).append(one)
    return found


def payout(stakes: Iterable[Stake], winner: str | None) -> Decimal:
    """What they pay where market `winner` comes out YES and all others NO; None: all come out NO."""
    return total(one.quantity for one in stakes if (one.outcome == "yes") == (one.market_id == winner))


def worst_loss(stakes: Sequence[Stake]) -> Decimal:
    """Cost less the smallest payout, over all outcomes of each event; at least 0 for each."""
    losses = []
    for group in by_event(stakes).values():
        winners = {one.market_id for one in group}
        least = min(payout(group, winner) for winner in (None, *winners))
        losses.append(max(ZERO, less(total(one.cost for one in group), least)))
    return total(losses)


def outcomes_of(stakes: Sequence[Stake], yes: Mapping[str, float]) -> list[Event]:
    """Each event's outcomes as (probability, loss against the value of now). yes: market -> its mid, in 0..1.

    Mids of one event that sum to more than 1 are scaled; what is missing to 1 is that none comes out YES.
    """
    events: list[Event] = []
    for group in by_event(stakes).values():
        value = total(one.value for one in group)
        winners = sorted({one.market_id for one in group})
        whole = max(1.0, sum(yes[winner] for winner in winners))
        outcomes = [(yes[winner] / whole, float(less(value, payout(group, winner)))) for winner in winners]
        none = 1.0 - sum(probability for probability, _ in outcomes)
        events.append([*outcomes, (max(0.0, none), float(less(value, payout(group, None))))])
    return events
