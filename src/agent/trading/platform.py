"""What a trader asks of a platform, and what it may answer. Pure values; platforms/ has the platforms.

A platform never raises for what it answers. Whatever goes wrong in `submit` after the first byte is Unclear: whether
the order is there is asked, never assumed. A question without a whole answer raises Unreachable: nothing is known then,
which is never "there is none".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from agent.errors import AgentError
from agent.trading.model import ZERO, Fill, Instrument, Movement, Order, Quote
from agent.trading.reconcile.facts import PlatformOrder, Snapshot
from pipelines.values import dataclass


class Unreachable(AgentError):
    """The platform did not answer a question, or not wholly."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """It has the order."""

    platform_order_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not take the order, in its own words."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody knows whether it has the order."""

    cause: str


Submitted = Accepted | Refused | Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a platform promises. deduplicates: the same client id sent twice is one order. is_authoritative: what it
    does not list is not there. dust: quantities as small as this count as none. is_at_once: each fill is in its
    positions from the same moment on, so that one reading says whether anything is held."""

    deduplicates: bool
    is_authoritative: bool
    dust: Decimal = ZERO
    is_at_once: bool = False


class Platform(Protocol):
    """An account at a platform."""

    name: str
    account_ref: str
    capabilities: Capabilities

    def instrument(self, market_id: str) -> Instrument: ...

    def quote(self, market_id: str) -> Quote | None:
        """What a market shows now; None where nothing is known of it."""

    def submit(self, order: Order) -> Submitted: ...

    def cancel(self, client_order_id: str) -> bool:
        """Whether it no longer rests; False where nobody knows."""

    def cancel_external(self, platform_order_id: str) -> bool:
        """The same of an order that need not be ours, by the platform's own id."""

    def order(self, client_order_id: str) -> PlatformOrder | None: ...

    def fills(self, since: datetime | None) -> Sequence[Fill]: ...

    def movements(self, since: datetime | None) -> Sequence[Movement]:
        """Cash that came and went beside fills, from `since` on; None: all there ever was."""

    def snapshot(self, asked: Collection[str], since: datetime | None) -> Snapshot:
        """All at once, for reconciliation; incomplete where a part could not be read. `asked`: client ids of orders
        that are to be looked up one by one. `since`: of fills and movements those from then on; None: all there ever
        were, and every order."""
