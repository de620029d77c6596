"""What the trading agent speaks of, as frozen values. Pure.

Amounts (money, prices, quantities) are Decimal of at most 18 places, fractions are floats in 0..1, times are aware UTC
instants. A value that breaks a rule of its table cannot be made: ValueError says which. (A database refuses it too,
where it can: SQLite compares no amounts.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from agent.amounts import exact, times, total

Side = Literal["buy", "sell"]
Outcome = Literal["", "yes", "no"]  # of a binary market; "" for the others
Action = Literal["buy", "sell", "close", "hold", "abstain"]
Purpose = Literal["open", "reduce", "stop", "take_profit", "kill", "exit"]
OrderType = Literal["market", "limit", "stop"]
TimeInForce = Literal["gtc", "gtd", "ioc", "fok", "day"]
Settlement = Literal["pending", "confirmed", "failed"]
MovementKind = Literal["deposit", "withdrawal", "fee", "funding", "settlement", "adjustment"]
VerdictKind = Literal["allow", "reduce", "refuse"]
Key = tuple[str, str]  # market and outcome: what a position is of
ZERO = Decimal(0)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _is_exact(**amounts: Decimal | None) -> None:
    """Refuse amounts that a database would round: the books must say what the tables say."""
    for name, value in amounts.items():
        _require(value is None or exact(value) == value, f"{name} {value} has more than 18 places")


def _is_aware(**instants: datetime | None) -> None:
    for name, value in instants.items():
        _require(value is None or value.tzinfo is not None, f"{name} {value} has no time zone")


def _is_fraction(**fractions: float | None) -> None:
    for name, value in fractions.items():
        _require(value is None or 0.0 <= value <= 1.0, f"{name} {value} is not in 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What a platform says about a market. tick: step of prices; lot: step of quantities; dust: a quantity as small as
    this counts as none. base and event say what it is about: pairs of one base, and markets of one event, move alike.
    """

    market_id: str
    kind: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal = ZERO
    min_notional: Decimal = ZERO
    price_low: Decimal | None = None
    price_high: Decimal | None = None
    dust: Decimal = ZERO
    base: str = ""
    event: str = ""
    has_margin: bool = False

    def __post_init__(self) -> None:
        _is_exact(tick=self.tick, lot=self.lot, min_quantity=self.min_quantity, min_notional=self.min_notional)
        _require(self.tick > 0 and self.lot > 0, f"tick and lot of {self.market_id} must be above 0")

    @property
    def is_binary(self) -> bool:
        """Whether one unit pays 1 or 0."""
        return self.kind == "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a market shows at `ts`. bid, ask: None where that side is empty; depths: quantity within the slippage one
    accepts; last: the last trade, at `last_ts`. is_open: orders are taken. For outcome no, quote NO (1 - ask, 1 - bid).
    """

    market_id: str
    ts: datetime
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_depth: Decimal | None = None
    ask_depth: Decimal | None = None
    last: Decimal | None = None
    last_ts: datetime | None = None
    is_open: bool = True

    def __post_init__(self) -> None:
        _is_aware(ts=self.ts, last_ts=self.last_ts)
        _is_exact(bid=self.bid, ask=self.ask, last=self.last)
        _require((self.last is None) == (self.last_ts is None), "a last price has a time, and no other")

    @property
    def is_two_sided(self) -> bool:
        """Whether there is a bid below or at an ask."""
        return self.bid is not None and self.ask is not None and ZERO < self.bid <= self.ask

    @property
    def mid(self) -> Decimal | None:
        """Half way between bid and ask; None where a side is empty or they cross."""
        if not self.is_two_sided or self.bid is None or self.ask is None:
            return None
        return times(total((self.bid, self.ask)), Decimal("0.5"))

    @property
    def no(self) -> Quote:
        """The same market as quoted for NO: its bid is 1 - ask of YES."""
        one = Decimal(1)
        return Quote(
            market_id=self.market_id,
            ts=self.ts,
            bid=None if self.ask is None else one - self.ask,
            ask=None if self.bid is None else one - self.bid,
            bid_depth=self.ask_depth,
            ask_depth=self.bid_depth,
            last=None if self.last is None else one - self.last,
            last_ts=self.last_ts,
            is_open=self.is_open,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about one market in one cycle; a row of `decisions`. Not the size: see Proposal."""

    decision_id: str
    agent_id: int
    cycle: int
    market_id: str
    made_at: datetime
    as_of: datetime
    action: Action
    probability: float | None = None
    confidence: float | None = None
    synthetic: bool = False
    reasons: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        _is_aware(made_at=self.made_at, as_of=self.as_of)
        _is_fraction(probability=self.probability, confidence=self.confidence)
        _require(self.as_of <= self.made_at, f"as_of {self.as_of} lies after made_at {self.made_at}")
        _require(not self.synthetic or self.cycle == 0, "a synthetic decision belongs to no cycle: 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A sized decision before the rules, in Decimal. reference: what is paid for one unit (the ask of a buy, the bid of
    a sale); reduces: it makes a position smaller, and no rule about opening stops it."""

    decision_id: str
    market_id: str
    outcome: Outcome
    side: Side
    quantity: Decimal
    reference: Decimal
    confidence: float
    stop: Decimal | None = None
    limit: Decimal | None = None
    reduces: bool = False

    def __post_init__(self) -> None:
        _is_exact(quantity=self.quantity, reference=self.reference, stop=self.stop, limit=self.limit)
        _is_fraction(confidence=self.confidence)
        _require(self.quantity > 0, f"a proposal of {self.quantity} is none")
        _require(self.reference > 0, f"the reference price {self.reference} is not above 0")

    @property
    def key(self) -> Key:
        """What it is a position of."""
        return self.market_id, self.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one rule said: a row of `verdicts`. A rule never enlarges."""

    rule: str
    verdict: VerdictKind
    before: Decimal
    after: Decimal
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _is_exact(before=self.before, after=self.after)
        _require(ZERO <= self.after <= self.before, f"{self.rule}: {self.before} cannot become {self.after}")
        told = "refuse" if self.after == 0 else "allow" if self.after == self.before else "reduce"
        _require(told == self.verdict, f"{self.rule}: {self.before} to {self.after} is no {self.verdict!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is sent; a row of `orders`, with its state as last known, since `status_at`. reference: what one unit was to
    cost when it was decided, for an order without a limit."""

    client_order_id: str
    market_id: str
    outcome: Outcome
    side: Side
    purpose: Purpose
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    status: str
    prepared_at: datetime
    limit_price: Decimal | None = None
    reference: Decimal | None = None
    reduce_only: bool = False
    decision_id: str | None = None
    platform_order_id: str | None = None
    first_sent_at: datetime | None = None
    status_at: datetime | None = None
    checks: int = 0
    filled: Decimal = ZERO

    def __post_init__(self) -> None:
        _is_aware(prepared_at=self.prepared_at, first_sent_at=self.first_sent_at, status_at=self.status_at)
        _is_exact(quantity=self.quantity, limit_price=self.limit_price, filled=self.filled)
        _require(self.quantity > 0, f"order {self.client_order_id} is for {self.quantity}")
        _require(self.limit_price is None or self.limit_price > 0, f"order {self.client_order_id} has no price")
        _require(self.type != "limit" or self.limit_price is not None, f"order {self.client_order_id} has no limit")
        known = self.limit_price is not None or self.reference is not None
        _require(known, f"nothing says what order {self.client_order_id} may cost")

    @property
    def key(self) -> Key:
        """What it is for."""
        return self.market_id, self.outcome

    @property
    def price(self) -> Decimal:
        """What one unit may cost: the limit, else the reference."""
        price = self.limit_price if self.limit_price is not None else self.reference
        assert price is not None, "an order without either cannot be made"
        return price

    @property
    def rest(self) -> Decimal:
        """What is not filled; 0 where more was filled than asked for."""
        return max(ZERO, self.quantity - self.filled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution; a row of `fills`. price: of one unit, of NO the price of NO; fee: in units of account."""

    fill_id: str
    market_id: str
    outcome: Outcome
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    ts: datetime
    client_order_id: str | None = None
    settlement: Settlement = "confirmed"
    inferred: bool = False

    def __post_init__(self) -> None:
        _is_aware(ts=self.ts)
        _is_exact(quantity=self.quantity, price=self.price, fee=self.fee)
        _require(self.quantity > 0, f"fill {self.fill_id} is of {self.quantity}")
        _require(self.price >= 0, f"fill {self.fill_id} has a price of {self.price}")

    @property
    def key(self) -> Key:
        """What was bought or sold."""
        return self.market_id, self.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Cash that came (above 0) or went beside fills; a row of `cash_movements`. A settlement names what it pays for:
    that position is over, whatever it held."""

    external_id: str
    kind: MovementKind
    amount: Decimal
    ts: datetime
    market_id: str | None = None
    outcome: Outcome = ""
    reason: str = ""

    def __post_init__(self) -> None:
        _is_aware(ts=self.ts)
        _is_exact(amount=self.amount)
        _require(self.kind != "settlement" or self.market_id is not None, "a settlement names its market")
        _require(self.kind != "deposit" or self.amount > 0, f"a deposit of {self.amount}")
        _require(self.kind != "withdrawal" or self.amount < 0, f"a withdrawal of {self.amount}: below 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What is held of one market. quantity: below 0 is short; average: entry price; mark: what closing would bring."""

    market_id: str
    outcome: Outcome
    quantity: Decimal
    average: Decimal
    mark: Decimal

    @property
    def key(self) -> Key:
        """What it is of."""
        return self.market_id, self.outcome

    @property
    def value(self) -> Decimal:
        """quantity x mark; of a short below 0."""
        return times(self.quantity, self.mark)

    @property
    def cost(self) -> Decimal:
        """quantity x average."""
        return times(self.quantity, self.average)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the rules see of the account. resting: orders that may still fill, unknown ones among them. Equity is cash
    and positions at their marks; it is computed, so that nobody states another."""

    cash: Decimal
    positions: tuple[Position, ...] = ()
    resting: tuple[Order, ...] = ()

    @property
    def equity(self) -> Decimal:
        """cash + sum of quantity x mark."""
        return total((self.cash, *(one.value for one in self.positions)))

    def position(self, key: Key) -> Position | None:
        """What is held of `key`, None where nothing is."""
        return next((one for one in self.positions if one.key == key and one.quantity), None)


def movement_of(row: Mapping[str, Any]) -> Movement:
    """A row of `cash_movements`, or of `paper_movements`."""
    return Movement(
        external_id=row["external_id"],
        kind=row["kind"],
        amount=row["amount"],
        ts=row["ts"],
        market_id=row["market_id"],
        outcome=row["outcome"] or "",
        reason=row["reason"] or "",
    )


def key_text(key: Key) -> str:
    """What a position is of, as a name: the market, with the outcome behind it where it has one."""
    market, outcome = key
    return f"{market}:{outcome}" if outcome else market
