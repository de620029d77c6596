"""States of an order, and the id that makes it ours. Pure.

A row is PREPARED before a byte is sent, and SENDING before the first one: from then on the order may exist out there.
UNKNOWN is resolved by asking, never by sending again.
"""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from enum import StrEnum

from agent.core.lifecycle import Table
from agent.trading.model import ZERO
from agent.trading.states.machine import Machine

PREFIX = "tm"
_ID_BYTES = 10
LATE_FILL, OVERFILL, FOUND_OPEN = "late_fill", "overfill", "found_open"


class OrderState(StrEnum):
    """Where an order stands."""

    PREPARED = "prepared"
    DENIED = "denied"
    SENDING = "sending"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIAL = "partial"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    NOT_PLACED = "not_placed"
    ABANDONED = "abandoned"


class OrderEvent(StrEnum):
    """What happens to an order. Fills are told apart by what is filled after them, see `fill_event`."""

    DENY = "refused locally"
    SEND = "sending"
    ABANDON = "recovered after a crash"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused by the platform"
    UNCLEAR = "no clear answer"
    PART_FILL = "filled in part"
    FULL_FILL = "filled"
    OVERFILL = "filled beyond its quantity"
    FOUND_OPEN = "found open"
    NOT_PLACED = "proven not to be there"
    UNPROVABLE = "not found, not proven"
    CANCEL = "cancel"
    CANCEL_UNANSWERED = "cancel unanswered"
    CANCELLED = "cancelled by the platform"
    EXPIRED = "expired"


_S, _E = OrderState, OrderEvent
_LIVE = (_S.SENDING, _S.UNKNOWN, _S.OPEN, _S.PARTIAL, _S.CANCELLING)  # may fill, as far as we know
_OVER = (_S.CANCELLED, _S.EXPIRED, _S.REJECTED, _S.NOT_PLACED, _S.ABANDONED)  # no plan counts on them; they may fill
_FILLS = (_E.PART_FILL, _E.FULL_FILL, _E.OVERFILL)
FINAL = frozenset({_S.DENIED, _S.FILLED, *_OVER})
IN_FLIGHT = frozenset({_S.PREPARED, *_LIVE})  # reserve cash, and keep the kill switch from being flat

TABLE: Table = {
    (_S.PREPARED, _E.DENY): _S.DENIED,
    (_S.PREPARED, _E.SEND): _S.SENDING,
    (_S.PREPARED, _E.ABANDON): _S.ABANDONED,  # it was certainly not sent; a new decision has new prices
    (_S.SENDING, _E.ACKNOWLEDGED): _S.OPEN,
    (_S.SENDING, _E.UNCLEAR): _S.UNKNOWN,
    (_S.SENDING, _E.FOUND_OPEN): _S.OPEN,
    (_S.UNKNOWN, _E.ACKNOWLEDGED): _S.OPEN,
    (_S.UNKNOWN, _E.FOUND_OPEN): _S.OPEN,
    (_S.UNKNOWN, _E.NOT_PLACED): _S.NOT_PLACED,
    (_S.UNKNOWN, _E.UNPROVABLE): _S.UNKNOWN,
    (_S.UNKNOWN, _E.CANCEL): _S.UNKNOWN,  # the kill switch cancels what may be there; the answer is the next event
    (_S.OPEN, _E.CANCEL): _S.CANCELLING,
    (_S.PARTIAL, _E.CANCEL): _S.CANCELLING,
    (_S.CANCELLING, _E.CANCEL): _S.CANCELLING,
    (_S.CANCELLING, _E.CANCEL_UNANSWERED): _S.CANCELLING,
    **{(state, _E.REFUSED): _S.REJECTED for state in (_S.SENDING, _S.UNKNOWN, _S.OPEN)},
    **{(state, _E.PART_FILL): _S.PARTIAL for state in (_S.SENDING, _S.UNKNOWN, _S.OPEN, _S.PARTIAL)},
    (_S.CANCELLING, _E.PART_FILL): _S.CANCELLING,
    **{(state, fill): _S.FILLED for state in _LIVE for fill in (_E.FULL_FILL, _E.OVERFILL)},
    (_S.FILLED, _E.OVERFILL): _S.FILLED,
    **{(state, _E.CANCELLED): _S.CANCELLED for state in _LIVE},
    **{(state, _E.EXPIRED): _S.EXPIRED for state in _LIVE},
    **{(state, fill): state for state in _OVER for fill in _FILLS},
    **{(state, _E.FOUND_OPEN): _S.CANCELLING for state in _OVER if state != _S.ABANDONED},
}
_LATE: dict[tuple[str, str], str] = {(state, fill): LATE_FILL for state in _OVER for fill in _FILLS}
ORDER = Machine(
    name="order",
    start=_S.PREPARED,
    states=OrderState,
    events=OrderEvent,
    table=TABLE,
    own=frozenset({_E.DENY, _E.SEND, _E.ABANDON, _E.NOT_PLACED, _E.UNPROVABLE, _E.CANCEL}),
    quiet={
        # The stream is often quicker than the reply to the request.
        _E.ACKNOWLEDGED: frozenset({_S.OPEN, _S.PARTIAL, _S.CANCELLING, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
        _E.UNCLEAR: frozenset({*_LIVE, _S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.REJECTED} - {_S.SENDING}),
        _E.FOUND_OPEN: frozenset({_S.OPEN, _S.PARTIAL, _S.CANCELLING}),
        _E.REFUSED: frozenset({_S.REJECTED}),
        _E.FULL_FILL: frozenset({_S.FILLED}),
        # Some platforms call an expiry a cancel.
        _E.CANCELLED: frozenset({_S.CANCELLED, _S.EXPIRED}),
        _E.EXPIRED: frozenset({_S.CANCELLED, _S.EXPIRED}),
        _E.CANCEL_UNANSWERED: frozenset({_S.UNKNOWN, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
    },
    discrepancies={
        **_LATE,
        **{(state, _E.OVERFILL): OVERFILL for state in (*_LIVE, *_OVER, _S.FILLED)},
        **{(state, _E.FOUND_OPEN): FOUND_OPEN for state in _OVER if state != _S.ABANDONED},
    },
)


def fill_event(quantity: Decimal, filled: Decimal, dust: Decimal = ZERO) -> OrderEvent:
    """What a fill means for an order of `quantity` of which `filled` is filled after it; `dust` either way is none."""
    if filled > quantity + dust:
        return OrderEvent.OVERFILL
    return OrderEvent.FULL_FILL if filled >= quantity - dust else OrderEvent.PART_FILL


def client_order_id(origin: str, purpose: str, leg: int, market: str = "") -> str:
    """Our id of an order: 18 characters that every platform takes, always the same for the same order.

    origin: id of its decision, or of the kill switch's row or the person's request, which say which `market` too.
    """
    parts = "\x1f".join((origin, purpose, str(leg), market))
    digest = hashlib.blake2b(parts.encode(), digest_size=_ID_BYTES).digest()
    return PREFIX + base64.b32encode(digest).decode().lower()


def is_ours(client_id: str | None) -> bool:
    """Whether an id that a platform lists is one that `client_order_id` could have made."""
    return client_id is not None and len(client_id) == len(PREFIX) + 16 and client_id.startswith(PREFIX)
