"""A proposal and a view that every rule allows: what the rules' own examples differ from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.trading.config import TradingAgentConfig
from agent.trading.model import Account, Instrument, Order, Proposal, Quote
from agent.trading.rule import ReleaseFacts, View
from pipelines.costs import Costs

NOW = datetime(2026, 1, 30, 12, tzinfo=UTC)
MARKET = "coinbase:BTC-USD"


@dataclass(frozen=True)
class Case:
    """An example: what is different, and what comes of it. left: the quantity, None where it is refused; says: part of
    the reason. config: settings that differ."""

    about: str
    proposal: Mapping[str, Any] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    quote: Mapping[str, Any] = field(default_factory=dict)
    release: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    left: str | None = None
    says: str = ""


def proposal_of(case: Case) -> Proposal:
    """The proposal of a case: 0.01 BTC at 50 000, with a stop 2 % below, 500 of 10 000."""
    base = Proposal(
        decision_id="d",
        market_id=MARKET,
        outcome="",
        side="buy",
        quantity=Decimal("0.01"),
        reference=Decimal(50_000),
        confidence=0.7,
        stop=Decimal(49_000),
    )
    return replace(base, **case.proposal)


def resting(**changes: Any) -> Order:
    """An entry that rests: 0.01 BTC at 49 000; `changes`: fields that differ."""
    base = Order(
        client_order_id="tm1",
        market_id=MARKET,
        outcome="",
        side="buy",
        purpose="open",
        type="limit",
        time_in_force="gtc",
        quantity=Decimal("0.01"),
        limit_price=Decimal(49_000),
        status="open",
        prepared_at=NOW,
    )
    return replace(base, **changes)


def view_of(case: Case) -> View:
    """The view of a case: an account of 10 000 in cash, a fresh quote and a current release."""
    quote = Quote(
        market_id=MARKET,
        ts=NOW - timedelta(seconds=5),
        bid=Decimal(49_990),
        ask=Decimal(50_000),
        bid_depth=Decimal(5),
        ask_depth=Decimal(5),
    )
    release = ReleaseFacts(as_of=NOW - timedelta(minutes=5), bar_seconds=300.0, open_seconds=300.0)
    base = View(
        config=TradingAgentConfig(**case.config),
        mode="dry_run",
        instrument=Instrument(
            market_id=MARKET,
            kind="spot",
            tick=Decimal("0.01"),
            lot=Decimal("0.00000001"),
            min_quantity=Decimal("0.0001"),
            min_notional=Decimal(10),
            base="BTC",
        ),
        quote=replace(quote, **case.quote),
        account=Account(cash=Decimal(10_000)),
        costs=Costs(fee=0.001),
        release=replace(release, **case.release),
    )
    return replace(base, **case.view)
