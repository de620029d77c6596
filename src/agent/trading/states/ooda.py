"""The six states of a cycle: observe, orient, decide, act, and learn from it. Pure.

What is written before a state is left stays written; after a crash the next process begins a new cycle, and decisions
that are still young are taken up again.
"""

from __future__ import annotations

from enum import StrEnum

from agent.core.lifecycle import Table
from agent.trading.states.machine import Machine

MOST_TRANSITIONS = 10  # in one cycle; more is an error, and the cycle counts as failed


class AgentState(StrEnum):
    """Where the loop stands."""

    IDLE = "idle"
    PERCEPTION = "perception"
    REASONING = "reasoning"
    RISK_CHECK = "risk_check"
    EXECUTION = "execution"
    LEARNING = "learning"


class AgentEvent(StrEnum):
    """What ends a state."""

    WAKE = "wake"  # the interval is over, a release was published, or --once
    READ = "account and marks read"
    UNREACHABLE = "platform unreachable"
    DECIDED = "all pairs decided or failed"
    PASSED = "judged, some passed"
    NONE_PASSED = "judged, none passed"
    SENT = "each order ended, resting or unknown"
    BOOKED = "outcomes booked"
    TOO_MANY = "too many transitions"
    KILL = "kill switch fired"
    STOP = "stop"


_S, _E = AgentState, AgentEvent

TABLE: Table = {
    (_S.IDLE, _E.WAKE): _S.PERCEPTION,
    (_S.PERCEPTION, _E.READ): _S.REASONING,
    (_S.PERCEPTION, _E.UNREACHABLE): _S.IDLE,
    (_S.REASONING, _E.DECIDED): _S.RISK_CHECK,
    (_S.RISK_CHECK, _E.PASSED): _S.EXECUTION,
    (_S.RISK_CHECK, _E.NONE_PASSED): _S.LEARNING,
    (_S.EXECUTION, _E.SENT): _S.LEARNING,
    (_S.LEARNING, _E.BOOKED): _S.IDLE,
    **{(state, ended): _S.IDLE for state in _S for ended in (_E.TOO_MANY, _E.KILL, _E.STOP)},
}
OODA = Machine(name="ooda", start=_S.IDLE, states=AgentState, events=AgentEvent, table=TABLE, own=frozenset(AgentEvent))
