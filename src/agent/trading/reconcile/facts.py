"""What the books say, what the platform says, and what may be done where they differ. Pure values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from agent.trading.ledger import with_fills
from agent.trading.model import ZERO, Fill, Key, Movement, Order, Outcome, Side
from agent.trading.states.permissions import Reason

Resolution = Literal["adopted", "corrected", "ignored", "blocking", "by_person"]
EXTERNAL_ORDER, EXTERNAL_CANCELLED = "external_order", "external_cancelled"  # ignored, and shown all the same
ACCEPTABLE = frozenset({"mismatch", "other_side"})  # what a person may accept: the platform's position is booked
NEW_BOOKS = "new_database"  # what an account had before its books began: a person may have it adopted
LOOKED_AT = frozenset({"overfill", "unexpected_event"})  # booked; nothing is opened until a person has looked


@dataclass(frozen=True, slots=True)
class Holding:
    """A position of either side. average: None where the platform does not say."""

    quantity: Decimal
    average: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What we have written down. cash and holdings are those of `fills` and `movements`. opened_at: when the books
    began: the platform's older fills are in what was found then; None: they are empty. is_killed: an older kill is not
    reset. agent_id: whose books they are: an account may have had others before."""

    orders: tuple[Order, ...] = ()
    fills: tuple[Fill, ...] = ()
    movements: tuple[Movement, ...] = ()
    holdings: Mapping[Key, Holding] = field(default_factory=dict)
    cash: Decimal = ZERO
    equity: Decimal = ZERO
    opened_at: datetime | None = None
    is_killed: bool = False
    agent_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOrder:
    """An order as the platform lists it."""

    client_order_id: str | None
    platform_order_id: str
    market_id: str
    outcome: Outcome
    side: Side
    quantity: Decimal
    filled: Decimal
    status: Literal["open", "filled", "cancelled", "expired", "rejected"]
    average: Decimal | None = None
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the platform says at `at`; one answer may be some seconds behind another (Policy.young_seconds).

    fills: all that cash and holdings have in them, so they are read after those. orders: open ones, those that changed,
    and those that were asked for one by one (`asked`). holdings: None where they could not be read: that is never flat.
    is_complete: no read failed and none was cut short. is_authoritative: what it does not list is not there.
    has_old_fills: they reach back thirty days. mids: to price what nobody explains; silent: markets that did not say
    what theirs is. payouts: of resolved markets.
    """

    at: datetime
    orders: tuple[PlatformOrder, ...] = ()
    asked: frozenset[str] = frozenset()
    fills: tuple[Fill, ...] = ()
    movements: tuple[Movement, ...] = ()
    holdings: Mapping[Key, Holding] | None = field(default_factory=dict)
    cash: Decimal = ZERO
    mids: Mapping[Key, Decimal] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    payouts: Mapping[Key, Decimal] = field(default_factory=dict)
    is_complete: bool = True
    is_authoritative: bool = True
    has_old_fills: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may be done without a person.

    dust: quantities that count as none. young_seconds: what is younger is left for the next time. mismatch: the largest
    difference of a position that is corrected, rounding: of cash; both fractions of equity. adopts: positions that are
    found are managed. accepted: ids of differences of which a person said that the platform is right, or that it is to
    be adopted.
    """

    dust: Decimal = ZERO
    settle_seconds: float = 10.0
    least_checks: int = 5
    young_seconds: float = 5.0
    mismatch: Decimal = Decimal("0.01")
    rounding: Decimal = Decimal("0.001")
    adopts: bool = True
    kills_external: bool = False
    accepted: frozenset[str] = frozenset()


# --- what is to be done --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MoveOrder:
    """An event for an order of ours, see states.orders. platform_order_id: stored with it."""

    client_order_id: str
    event: str
    platform_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class BookFill:
    """A fill that the books lack, or one that takes another back."""

    fill: Fill


@dataclass(frozen=True, slots=True)
class SettleFill:
    """A fill that was pending is confirmed."""

    fill_id: str


@dataclass(frozen=True, slots=True)
class BookMovement:
    """Cash that came or went."""

    movement: Movement


@dataclass(frozen=True, slots=True)
class Cancel:
    """An order that must not rest any longer."""

    platform_order_id: str


@dataclass(frozen=True, slots=True)
class AdoptOrder:
    """A row for an order that has our prefix and no row."""

    order: PlatformOrder


@dataclass(frozen=True, slots=True)
class AdoptPosition:
    """A decision for a position that was found: buy where it is long, sell where it is short."""

    key: Key
    quantity: Decimal
    managed: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """More must be known first: an order by its client id, or (None) fills of the last thirty days."""

    client_order_id: str | None


Act = MoveOrder | BookFill | SettleFill | BookMovement | Cancel | AdoptOrder | AdoptPosition | Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference; a row of `discrepancies` where it is on record. case: its number in the
    specification. acts: what puts it right, in order. brings: why the agent may only reduce from now on."""

    case: int
    kind: str
    resolution: Resolution
    acts: tuple[Act, ...] = ()
    key: Key | None = None
    client_order_id: str | None = None
    ledger: Mapping[str, Any] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    brings: Reason | None = None
    alert: bool = False

    @property
    def is_on_record(self) -> bool:
        """Whether people find it later: what was ignored is nothing, or asked about again; those of others are seen."""
        return self.resolution != "ignored" or self.kind in (EXTERNAL_ORDER, EXTERNAL_CANCELLED)

    def id_of(self, agent_id: int) -> str:
        """Its row's id in the books of this agent: the same for the same difference, whenever it is found."""
        parts = (self.kind, self.key, self.client_order_id, sorted(self.ledger.items()), sorted(self.platform.items()))
        return discrepancy_id(agent_id, *parts)


def discrepancy_id(agent_id: int, *parts: object) -> str:
    """The id of a row of `discrepancies`, made from what was found. Two agents that share a database may find the same:
    two accounts of one platform name their fills alike."""
    return hashlib.blake2b(repr((agent_id, *parts)).encode(), digest_size=16).hexdigest()


def inferred_id(*parts: object) -> str:
    """The id of a fill or movement that nobody listed: made from what it explains, so that it comes once."""
    return "inferred:" + hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def listed_fills(books: Books, platform: Snapshot) -> tuple[Fill, ...]:
    """Fills of the books with those that the platform lists beside them."""
    known = {one.fill_id for one in books.fills}
    return with_fills(books.fills, (one for one in platform.fills if one.fill_id not in known), books.movements)


def is_recent(moment: datetime | None, platform: Snapshot, policy: Policy) -> bool:
    """Whether something happened so shortly before that one answer may have it and another one not."""
    return moment is not None and platform.at - moment < timedelta(seconds=policy.young_seconds)


def is_young(order: Order, platform: Snapshot, policy: Policy) -> bool:
    """Whether an order was sent so shortly before that platform and books may well differ."""
    return is_recent(order.first_sent_at, platform, policy)


def young_keys(books: Books, platform: Snapshot, policy: Policy) -> set[Key]:
    """Positions that are not judged this time."""
    orders = {one.key for one in books.orders if is_young(one, platform, policy)}
    return orders | {one.key for one in young_fills(books, platform, policy)}


def young_fills(books: Books, platform: Snapshot, policy: Policy) -> list[Fill]:
    """Fills that platform and books need not agree about yet: the platform's, and those that we booked, which its
    orders, positions and cash may not show. What was inferred came from those."""
    fills = (*books.fills, *platform.fills)
    return [one for one in fills if not one.inferred and is_recent(one.ts, platform, policy)]
