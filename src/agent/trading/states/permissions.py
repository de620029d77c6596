"""Trading states: who may send what while which reasons hold. Pure.

Each reason brings one state. The strongest state of all reasons that hold is in force, and it is left when the last
reason for it is gone. A person's `resume` takes away what a person or their own monitoring asked for, and nothing that
the trader found itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from enum import StrEnum


class TradingState(StrEnum):
    """From the weakest to the strongest."""

    ACTIVE = "active"
    PAUSED = "paused"
    REDUCING = "reducing"
    HALTED = "halted"


class Send(StrEnum):
    """What may be asked of the platform, and learned."""

    OPEN = "open"
    REDUCE = "reduce"
    KILL = "kill's own closing"
    CANCEL = "cancel"
    QUERY = "query"
    LEARN = "learn"


class Reason(StrEnum):
    """What the trading state follows from."""

    RESUMED = "resumed"  # a person said why it may go on
    PERSON = "person"
    MONITOR = "monitor"  # `pause_trading`: a person's own monitoring asked for it
    MONITOR_GONE = "monitor_gone"
    ANALYSIS_FAILURES = "analysis_failures"
    DAILY_LOSS = "daily_loss"
    STALE_MARKS = "stale_marks"
    MISMATCH = "mismatch"
    UNREADABLE = "unreadable"  # the platform did not answer three times in a row
    OVERFILL = "overfill"
    UNEXPECTED_EVENT = "unexpected_event"
    RELEASE_TOO_OLD = "release_too_old"
    RELEASE_UNREADABLE = "release_unreadable"
    HEARTBEAT = "heartbeat"
    LOOP_LATE = "loop_late"
    KILL = "kill"
    RETIRED = "retired"  # a person ended these books


_ALWAYS = frozenset({Send.CANCEL, Send.QUERY})
MAY: Mapping[TradingState, Set[Send]] = {
    TradingState.ACTIVE: _ALWAYS | {Send.OPEN, Send.REDUCE, Send.LEARN},
    TradingState.PAUSED: _ALWAYS | {Send.REDUCE, Send.LEARN},  # stops, take-profits, a person's
    TradingState.REDUCING: _ALWAYS | {Send.REDUCE, Send.LEARN},
    TradingState.HALTED: _ALWAYS | {Send.KILL},
}
BRINGS: Mapping[Reason, TradingState] = {
    Reason.RESUMED: TradingState.ACTIVE,
    Reason.PERSON: TradingState.PAUSED,
    Reason.MONITOR: TradingState.PAUSED,
    Reason.MONITOR_GONE: TradingState.PAUSED,
    Reason.ANALYSIS_FAILURES: TradingState.PAUSED,
    Reason.DAILY_LOSS: TradingState.PAUSED,
    Reason.STALE_MARKS: TradingState.PAUSED,
    Reason.MISMATCH: TradingState.REDUCING,
    Reason.UNREADABLE: TradingState.REDUCING,
    Reason.OVERFILL: TradingState.REDUCING,
    Reason.UNEXPECTED_EVENT: TradingState.REDUCING,
    Reason.RELEASE_TOO_OLD: TradingState.REDUCING,
    Reason.RELEASE_UNREADABLE: TradingState.REDUCING,
    Reason.HEARTBEAT: TradingState.REDUCING,
    Reason.LOOP_LATE: TradingState.REDUCING,
    Reason.KILL: TradingState.HALTED,
    Reason.RETIRED: TradingState.HALTED,
}
_STRENGTH = {state: strength for strength, state in enumerate(TradingState)}


def state_of(reasons: Iterable[Reason]) -> TradingState:
    """The strongest state that any of `reasons` brings; active where there is none."""
    return max((BRINGS[one] for one in reasons), key=_STRENGTH.__getitem__, default=TradingState.ACTIVE)


def held_back_by(reasons: Mapping[str, str]) -> str:
    """The words of those of `reasons` that keep the agent from being active."""
    return "; ".join(words for one, words in reasons.items() if BRINGS[Reason(one)] is not TradingState.ACTIVE)


def resumed(reasons: Set[Reason]) -> frozenset[Reason]:
    """The reasons that are left when a person says `resume`."""
    return frozenset(reasons) - {Reason.PERSON, Reason.MONITOR}
