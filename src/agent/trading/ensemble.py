"""From opinions to one decision. Pure. With the model as the only provider that counts its decision is taken as it is;
what reduces a position goes before what anybody thinks of the market."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from agent.amounts import of_float, plain, ratio, times, total
from agent.trading.config import TradingAgentConfig
from agent.trading.model import Action, Outcome, Position, Proposal, Purpose, Quote, Side
from agent.trading.provider import Abstention, MarketView, Opinion
from pipelines.values import dataclass

ASKED = "asked"  # the provider that says what somebody asks for: it goes before what any other one thinks
PURPOSES: tuple[Purpose, ...] = ("open", "reduce", "stop", "take_profit")  # of the orders that come of a cycle


class _Known(NamedTuple):
    probability: float | None
    confidence: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to do about one market. purpose: of the order, None where there is none; side and outcome: of that order.
    weight: what orders the market's proposals, edge x confidence."""

    action: Action
    reasons: tuple[Mapping[str, Any], ...]
    probability: float | None = None
    confidence: float | None = None
    purpose: Purpose | None = None
    side: Side = "buy"
    outcome: Outcome = ""
    weight: float = 0.0


def choose(
    view: MarketView,
    opinions: Mapping[str, Opinion | Abstention],
    position: Position | None,
    config: TradingAgentConfig,
    *,
    is_watched: bool = False,
    is_fresh: bool = True,
) -> Choice:
    """The decision about one market. is_watched: it is only looked at; is_fresh: its quote is no older than a mark may
    be: no stop-loss or take-profit goes by an old one."""
    said = opinions.get(ASKED) or opinions.get("model")
    about = said if isinstance(said, Opinion) else None
    known = _Known(None, None) if about is None else _Known(about.probability, about.confidence)
    limit = limit_reached(position, view.quote, config) if position is not None and is_fresh else None
    if position is not None and limit is not None:
        return _closing(position, limit[0], (limit[1],), known)
    if about is None:
        why = said.why if isinstance(said, Abstention) else "no provider was asked"
        return Choice(action="abstain", reasons=({"code": "abstained", "text": why},))
    if position is not None and about.wants != _side_of(position):
        return _closing(position, "reduce", about.reasons, known)
    if position is not None or not about.wants:
        return Choice(action="hold", reasons=about.reasons, probability=known.probability, confidence=known.confidence)
    if is_watched:
        return Choice(
            action="hold",
            reasons=({"code": "watched"}, *about.reasons),
            probability=known.probability,
            confidence=known.confidence,
        )
    is_binary = view.listing.instrument.is_binary
    outcome: Outcome = ("yes" if about.wants > 0 else "no") if is_binary else ""
    return Choice(
        action="buy" if about.wants > 0 else "sell",
        reasons=about.reasons,
        purpose="open",
        side="buy" if about.wants > 0 or is_binary else "sell",
        outcome=outcome,
        weight=abs(about.edge) * (about.confidence or 0.0),
        probability=known.probability,
        confidence=known.confidence,
    )


def proposal_of(decision_id: str, choice: Choice, view: MarketView, held: Decimal, equity: Decimal) -> Proposal | None:
    """The order that a choice asks for, before the rules: all of the equity to open, all that is held to close. None
    where the book lacks that side, or nothing can be bought."""
    quote = view.quote.no if choice.outcome == "no" else view.quote
    reference = quote.ask if choice.side == "buy" else quote.bid
    if choice.purpose is None or reference is None or reference <= 0:
        return None
    quantity = held.copy_abs() if choice.purpose != "open" else _affordable(equity, reference)
    if quantity <= 0:
        return None
    return Proposal(
        decision_id=decision_id,
        market_id=view.listing.instrument.market_id,
        outcome=choice.outcome,
        side=choice.side,
        quantity=quantity,
        reference=reference,
        confidence=choice.confidence or 0.0,
        reduces=choice.purpose != "open",
    )


def held_side(position: Position | None) -> int:
    """1 long, -1 short or NO, 0 nothing."""
    return 0 if position is None else _side_of(position)


def _affordable(equity: Decimal, reference: Decimal) -> Decimal:
    return ratio(equity, reference) if equity > 0 else Decimal(0)


def _side_of(position: Position) -> int:
    return (1 if position.quantity > 0 else -1) * (-1 if position.outcome == "no" else 1)


def _closing(position: Position, purpose: Purpose, reasons: tuple[Mapping[str, Any], ...], known: _Known) -> Choice:
    return Choice(
        action="close",
        reasons=reasons,
        purpose=purpose,
        side="sell" if position.quantity > 0 else "buy",
        outcome=position.outcome,
        probability=known.probability,
        confidence=known.confidence,
    )


def limit_reached(
    position: Position, quote: Quote, config: TradingAgentConfig
) -> tuple[Purpose, Mapping[str, Any]] | None:
    """Whether stop-loss or take-profit closes the position: by the side of the quote that closing it would get."""
    shown = quote.no if position.outcome == "no" else quote
    price = shown.bid if position.quantity > 0 else shown.ask
    if price is None or not shown.is_two_sided:
        return None
    sign = Decimal(1 if position.quantity > 0 else -1)
    facts = {"entry": position.average, "price": price}
    if config.stop_loss is not None:
        stop = total((position.average, times(sign, times(position.average, of_float(-config.stop_loss)))))
        if (price <= stop) if sign > 0 else (price >= stop):
            text = f"stop-loss: closing brings {plain(price)}, the limit is {plain(stop)}"
            return "stop", {"code": "stop_loss", "text": text, "stop": stop, **facts}
    if config.take_profit is not None:
        target = total((position.average, times(sign, times(position.average, of_float(config.take_profit)))))
        if (price >= target) if sign > 0 else (price <= target):
            text = f"take-profit: closing brings {plain(price)}, the limit is {plain(target)}"
            return "take_profit", {"code": "take_profit", "text": text, "target": target, **facts}
    return None
