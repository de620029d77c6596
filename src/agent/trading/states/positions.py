"""States of a position in one market and outcome. Pure. What it is worth is the ledger's business.

An adopted position is open as any other; whether it is managed says another field (positions.managed).
"""

from __future__ import annotations

from enum import StrEnum

from agent.core.lifecycle import Table
from agent.trading.states.machine import Machine


class PositionState(StrEnum):
    """Where a position stands."""

    FLAT = "flat"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    DUST = "dust"
    SETTLING = "settling"
    SETTLED = "settled"


class PositionEvent(StrEnum):
    """What happens to a position. Fills are told apart by what is held after them."""

    ENTRY_SENT = "entry sent"
    EXIT_SENT = "exit sent"
    FILL = "fill"
    FLIPPED = "fill changed the sign"
    EMPTIED = "fill left nothing"
    ORDER_ENDED = "order ended"
    BELOW_MINIMUM = "rest below the minimum"
    MARKET_CLOSED = "market closed"
    RESOLVED = "market resolved"
    PAID = "cash arrived"
    FOUND = "found at the platform"


_S, _E = PositionState, PositionEvent
NOT_SETTLED = (_S.FLAT, _S.OPENING, _S.OPEN, _S.CLOSING, _S.DUST)

TABLE: Table = {
    (_S.FLAT, _E.ENTRY_SENT): _S.OPENING,
    (_S.FLAT, _E.FOUND): _S.OPEN,  # adopted, with a decision of its own
    (_S.FLAT, _E.FILL): _S.OPEN,  # a late fill, or one of an order that is not ours
    (_S.OPENING, _E.FILL): _S.OPEN,
    (_S.OPENING, _E.ORDER_ENDED): _S.FLAT,
    (_S.OPEN, _E.ENTRY_SENT): _S.OPEN,
    (_S.OPEN, _E.EXIT_SENT): _S.CLOSING,
    (_S.OPEN, _E.FILL): _S.OPEN,
    (_S.OPEN, _E.ORDER_ENDED): _S.OPEN,
    (_S.OPEN, _E.MARKET_CLOSED): _S.OPEN,  # flagged: what closes it waits for the market
    (_S.CLOSING, _E.EXIT_SENT): _S.CLOSING,
    (_S.CLOSING, _E.FILL): _S.CLOSING,
    (_S.CLOSING, _E.ORDER_ENDED): _S.OPEN,
    (_S.CLOSING, _E.MARKET_CLOSED): _S.CLOSING,
    (_S.DUST, _E.ENTRY_SENT): _S.OPENING,  # it blocks no entry
    (_S.DUST, _E.FILL): _S.OPEN,
    **{(state, _E.BELOW_MINIMUM): _S.DUST for state in NOT_SETTLED},
    **{(state, _E.FLIPPED): _S.OPEN for state in (_S.OPENING, _S.OPEN, _S.CLOSING, _S.DUST)},
    **{(state, _E.EMPTIED): _S.FLAT for state in (_S.OPENING, _S.OPEN, _S.CLOSING, _S.DUST)},
    **{(state, _E.RESOLVED): _S.SETTLING for state in (_S.OPENING, _S.OPEN, _S.CLOSING, _S.DUST)},
    (_S.SETTLING, _E.PAID): _S.SETTLED,
}
POSITION = Machine(
    name="position",
    start=_S.FLAT,
    states=PositionState,
    events=PositionEvent,
    table=TABLE,
    own=frozenset({_E.ENTRY_SENT, _E.EXIT_SENT, _E.BELOW_MINIMUM}),
    quiet={
        _E.ORDER_ENDED: frozenset({_S.FLAT, _S.DUST, _S.SETTLING, _S.SETTLED}),
        _E.MARKET_CLOSED: frozenset({_S.FLAT, _S.OPENING, _S.DUST, _S.SETTLING, _S.SETTLED}),
        _E.RESOLVED: frozenset({_S.FLAT, _S.SETTLING, _S.SETTLED}),
        _E.PAID: frozenset({_S.SETTLED}),
        _E.FOUND: frozenset({_S.OPENING, _S.OPEN, _S.CLOSING, _S.DUST, _S.SETTLING}),
    },
)
