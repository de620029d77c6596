"""States of a run and of an attempt: one table each, (state, event) -> state. Pure; performs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from agent.errors import Conflict

Table = Mapping[tuple[str, str], str]


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "QUEUED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class RunEvent(StrEnum):
    """What happens to a run."""

    START = "start"
    ASK_APPROVAL = "ask approval"
    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"
    COMPLETE = "complete"
    FAIL = "fail"
    CRASH = "crash"
    CANCEL = "cancel"


class AttemptState(StrEnum):
    """Where an attempt stands. Failed is its own error, crashed the death of its process."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


class AttemptEvent(StrEnum):
    """What happens to an attempt."""

    SUCCEED = "succeed"
    FAIL = "fail"
    CRASH = "crash"
    CANCEL = "cancel"


RUN_START, ATTEMPT_START = RunState.QUEUED, AttemptState.RUNNING

RUNS: Table = {
    (RunState.QUEUED, RunEvent.START): RunState.RUNNING,
    (RunState.QUEUED, RunEvent.ASK_APPROVAL): RunState.AWAITING_APPROVAL,
    (RunState.QUEUED, RunEvent.FAIL): RunState.FAILED,  # it cannot even be planned: settings that do not load
    (RunState.QUEUED, RunEvent.CANCEL): RunState.CANCELLED,
    # Back into the queue, not into RUNNING: who approves is not who executes, and any worker may claim it.
    (RunState.AWAITING_APPROVAL, RunEvent.APPROVE): RunState.QUEUED,
    (RunState.AWAITING_APPROVAL, RunEvent.REJECT): RunState.CANCELLED,
    (RunState.AWAITING_APPROVAL, RunEvent.EXPIRE): RunState.CANCELLED,
    (RunState.AWAITING_APPROVAL, RunEvent.CANCEL): RunState.CANCELLED,
    (RunState.RUNNING, RunEvent.COMPLETE): RunState.COMPLETED,
    (RunState.RUNNING, RunEvent.FAIL): RunState.FAILED,
    (RunState.RUNNING, RunEvent.CRASH): RunState.FAILED,  # noticed by whoever comes next; the error says so
    (RunState.RUNNING, RunEvent.CANCEL): RunState.CANCELLED,
}

ATTEMPTS: Table = {
    (AttemptState.RUNNING, AttemptEvent.SUCCEED): AttemptState.SUCCEEDED,
    (AttemptState.RUNNING, AttemptEvent.FAIL): AttemptState.FAILED,
    (AttemptState.RUNNING, AttemptEvent.CRASH): AttemptState.CRASHED,
    (AttemptState.RUNNING, AttemptEvent.CANCEL): AttemptState.CANCELLED,
}


def require_move(table: Table, before: str, after: str) -> None:
    """Raise Conflict, with the moves there are, where the table leads from `before` to `after` by no event."""
    possible = list(dict.fromkeys(state for (known, _), state in table.items() if known == before))
    if after not in possible:
        raise Conflict(
            f"what is {before} cannot become {after}",
            where="runs and attempts",
            fix=f"possible now: {', '.join(possible)}" if possible else f"nothing: {before} is final",
        )


def final_states(table: Table) -> tuple[str, ...]:
    """States that nothing leads out of, in the order the table names them."""
    befores = {before for before, _ in table}
    return tuple(dict.fromkeys(after for after in table.values() if after not in befores))


def mermaid(table: Table, start: str) -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in table.items()]
    lines += [f"    {state} --> [*]" for state in final_states(table)]
    return "\n".join(lines) + "\n"
