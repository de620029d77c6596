"""The kill switch: when it fires, and the states of closing everything. Pure.

Compared without dividing, in Decimal and without rounding: it fires exactly at the limit. It never fires twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from agent.amounts import EXACT
from agent.core.lifecycle import Table
from agent.trading.states.machine import Machine

STALE_READINGS = 3  # in a row
SECONDS_TO_CANCEL, SECONDS_TO_CLOSE = 30, 600


class KillState(StrEnum):
    """Where it stands. Armed: no row of the account, or the newest one is reset."""

    ARMED = "armed"
    TRIGGERED = "triggered"
    CANCELLING = "cancelling"
    CLOSING = "closing"
    FLAT = "flat"
    STUCK = "stuck"


class KillEvent(StrEnum):
    """What happens to it."""

    TRIGGER = "limit, person, file or mismatch"
    CANCEL = "cancel all"
    NONE_LEFT = "no order is left"
    TIME_OVER = "30 s without that"
    CLOSE_SENT = "close sent"
    FLAT = "flat, read twice"
    CANNOT_CLOSE = "cannot close"
    START = "start of an agent"
    RESET = "reset"
    RESET_ACCEPTING = "reset accepting open positions"


_S, _E = KillState, KillEvent
FIRED = (_S.TRIGGERED, _S.CANCELLING, _S.CLOSING, _S.FLAT, _S.STUCK)

TABLE: Table = {
    (_S.ARMED, _E.START): _S.ARMED,
    (_S.ARMED, _E.TRIGGER): _S.TRIGGERED,
    (_S.TRIGGERED, _E.CANCEL): _S.CANCELLING,
    (_S.CANCELLING, _E.CANCEL): _S.CANCELLING,
    (_S.CANCELLING, _E.NONE_LEFT): _S.CLOSING,
    (_S.CANCELLING, _E.TIME_OVER): _S.CLOSING,
    (_S.CLOSING, _E.CLOSE_SENT): _S.CLOSING,
    (_S.CLOSING, _E.FLAT): _S.FLAT,
    (_S.CLOSING, _E.CANNOT_CLOSE): _S.STUCK,
    (_S.STUCK, _E.CLOSE_SENT): _S.STUCK,
    (_S.STUCK, _E.FLAT): _S.FLAT,
    (_S.STUCK, _E.RESET): _S.STUCK,  # refused, with the list of what is left
    (_S.STUCK, _E.RESET_ACCEPTING): _S.ARMED,
    (_S.FLAT, _E.RESET): _S.ARMED,
    (_S.FLAT, _E.RESET_ACCEPTING): _S.ARMED,
    **{(state, _E.TRIGGER): state for state in FIRED},  # one more cause in its row
    **{(state, _E.START): state for state in FIRED},  # what was begun goes on; nothing is traded
}
KILL_SWITCH = Machine(
    name="kill switch", start=_S.ARMED, states=KillState, events=KillEvent, table=TABLE, own=frozenset(KillEvent)
)


class Cause(StrEnum):
    """Why it fired, as the tables and the seed write it."""

    LOSS_LIMIT = "LOSS_LIMIT"
    DRAWDOWN_LIMIT = "DRAWDOWN_LIMIT"
    PROFIT_TARGET = "PROFIT_TARGET"
    STALE_MARKS = "STALE_MARKS"
    MISMATCH = "MISMATCH"
    HEARTBEAT_LOST = "HEARTBEAT_LOST"
    PERSON = "PERSON"
    KILL_FILE = "KILL_FILE"


@dataclass(frozen=True, slots=True)
class Limits:
    """Fractions; None is off. stale_kills: three stale readings in a row close everything, instead of pausing."""

    loss: Decimal | None
    drawdown: Decimal | None
    gain: Decimal | None
    stale_kills: bool = False
    stale_readings: int = STALE_READINGS


@dataclass(frozen=True, slots=True)
class Reading:
    """What the account is worth. initial and peak: as scaled by flows (see measures.flows), the peak at least equity.
    stale: marks of more than a tenth of the exposure are too old: no reading. stale_before: how many went before it."""

    equity: Decimal
    initial: Decimal
    peak: Decimal
    stale: bool = False
    stale_before: int = 0


@dataclass(frozen=True, slots=True)
class Fired:
    """Why it fires, the limit that was reached and what was measured (fractions; 0 where the cause has none)."""

    cause: Cause
    limit: Decimal = Decimal(0)
    measured: Decimal = Decimal(0)


def _asked_for(reading: Reading, limits: Limits, asked: Cause | None) -> Fired | None:
    return None if asked is None else Fired(asked)


def _too_old(reading: Reading, limits: Limits, asked: Cause | None) -> Fired | None:
    count = reading.stale_before + 1
    if not reading.stale or not limits.stale_kills or count < limits.stale_readings:
        return None
    return Fired(Cause.STALE_MARKS, Decimal(limits.stale_readings), Decimal(count))


def _lost(reading: Reading, limits: Limits, asked: Cause | None) -> Fired | None:
    """E <= E0 (1 - loss)."""
    if reading.stale or limits.loss is None or reading.equity > EXACT.multiply(reading.initial, 1 - limits.loss):
        return None
    return Fired(Cause.LOSS_LIMIT, limits.loss, _fall(reading.initial, reading.equity))


def _fell(reading: Reading, limits: Limits, asked: Cause | None) -> Fired | None:
    """E <= peak (1 - drawdown)."""
    peak = max(reading.peak, reading.equity)
    if reading.stale or limits.drawdown is None or reading.equity > EXACT.multiply(peak, 1 - limits.drawdown):
        return None
    return Fired(Cause.DRAWDOWN_LIMIT, limits.drawdown, _fall(peak, reading.equity))


def _gained(reading: Reading, limits: Limits, asked: Cause | None) -> Fired | None:
    """E >= E0 (1 + gain)."""
    if reading.stale or limits.gain is None or reading.equity < EXACT.multiply(reading.initial, 1 + limits.gain):
        return None
    return Fired(Cause.PROFIT_TARGET, limits.gain, -_fall(reading.initial, reading.equity))


CHECKS: dict[str, Callable[[Reading, Limits, Cause | None], Fired | None]] = {
    "asked": _asked_for,
    "stale_marks": _too_old,
    "loss": _lost,
    "drawdown": _fell,
    "gain": _gained,
}  # in their order: of several the first one is the cause


def decide_kill(reading: Reading, limits: Limits, asked: Cause | None = None) -> Fired | None:
    """Whether to close everything now: the first of CHECKS that says so. `asked`: what a person, a file or the monitor
    asks for. A stale reading is none: no limit is measured by it."""
    return next((fired for one in CHECKS.values() if (fired := one(reading, limits, asked)) is not None), None)


@dataclass(frozen=True, slots=True)
class Distance:
    """How far equity is from a limit. level: the equity at which it fires; money: what is missing to it, in money of
    the account, 0 or less where it is reached; part: the same by equity, a fraction;
    None where equity is 0 or less."""

    cause: Cause
    limit: Decimal
    level: Decimal
    money: Decimal
    part: Decimal | None


def distances(reading: Reading, limits: Limits) -> tuple[Distance, ...]:
    """How far each limit that is not off is away, in the order in which `decide_kill` looks at them.

    level: E0 (1 - loss), peak (1 - drawdown), E0 (1 + gain); money: E - level, of the gain level - E. No digit is lost.
    """
    equity, initial, peak = reading.equity, reading.initial, max(reading.peak, reading.equity)
    found = []
    for cause, limit, base, side in (
        (Cause.LOSS_LIMIT, limits.loss, initial, -1),
        (Cause.DRAWDOWN_LIMIT, limits.drawdown, peak, -1),
        (Cause.PROFIT_TARGET, limits.gain, initial, 1),
    ):
        if limit is not None:
            level = EXACT.multiply(base, 1 + side * limit)
            money = EXACT.multiply(EXACT.subtract(level, equity), side)
            found.append(Distance(cause, limit, level, money, EXACT.divide(money, equity) if equity > 0 else None))
    return tuple(found)


def _fall(before: Decimal, after: Decimal) -> Decimal:
    """(before - after) / before."""
    return EXACT.divide(EXACT.subtract(before, after), before)
