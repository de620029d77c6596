"""What happens in a run, as one frozen dataclass per event, and as the (type, payload) that the database keeps. Pure.

The stored JSON is an interface: people query it, and rows of every earlier version stay readable. A field without a
default is always written; one with a default is left out where it has it. `explain.event_sentence` has the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, ClassVar, get_args

from agent.core.model import Plan, Reason, Step
from agent.core.plan_json import plan_from_json, plan_to_json, reasons_from_json, reasons_to_json
from pipelines.values import dataclass


@dataclass(frozen=True)
class RunCreated:
    """Somebody or something asked for the run. `meaning`: what the queue took the goal for."""

    type: ClassVar[str] = "RUN_CREATED"
    goal: str
    meaning: str | None = None
    targets: tuple[str, ...] | None = None
    force: tuple[str, ...] | None = None
    require_approval: bool | None = None
    trigger: str | None = None


@dataclass(frozen=True)
class RunStarted:
    """A process carries the run out. `targets` empty means everything."""

    type: ClassVar[str] = "RUN_STARTED"
    goal: str
    targets: tuple[str, ...]
    trigger: str


@dataclass(frozen=True)
class AgentThinking:
    """The state was read and staleness decided. stale: component -> every cause in words."""

    type: ClassVar[str] = "AGENT_THINKING"
    stale: Mapping[str, tuple[str, ...]]
    clean: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PlanGenerated:
    """What is to be done with each component, in the order it is done."""

    type: ClassVar[str] = "PLAN_GENERATED"
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class ApprovalRequested:
    """The run waits for a person. `expires_at` is ISO 8601, UTC."""

    type: ClassVar[str] = "APPROVAL_REQUESTED"
    expires_at: str


@dataclass(frozen=True)
class ApprovalGiven:
    """A person let the run go ahead."""

    type: ClassVar[str] = "APPROVAL_GIVEN"
    by: str
    reason: str | None


# Classes that differ in their type alone take over the methods made for the first one: making them takes time in every
# process that starts.
class ApprovalRejected(ApprovalGiven):
    """A person refused the run."""

    type: ClassVar[str] = "APPROVAL_REJECTED"


class ApprovalExpired(ApprovalGiven):
    """Nobody answered in time."""

    type: ClassVar[str] = "APPROVAL_EXPIRED"


@dataclass(frozen=True)
class CodeChanged:
    """Files of the project changed before anything was computed with them: the run decides again, for the `number`th of
    at most `most` times."""

    type: ClassVar[str] = "CODE_CHANGED"
    files: tuple[str, ...]
    number: int
    most: int


@dataclass(frozen=True)
class Started:
    """An attempt began. `number` is 1 for the first try; `reasons` are sentences, `codes` the same for programs."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "started"
    component: str
    number: int
    token: int
    codes: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """An attempt succeeded and its output differs from before. `marked`: readers to which it looks different.
    `reused_run`: the run that computed the output, where this one found it again."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "finished"
    component: str
    attempt: int
    token: int
    input_versions: Mapping[str, str]
    version: str
    rows: int
    seconds: float
    recomputed_partitions: int
    carried_partitions: int
    marked: tuple[str, ...]
    reused_run: int | None = None


class CutOff(Finished):
    """An attempt succeeded and its output is the same as before (early cutoff)."""

    phase: ClassVar[str] = "cut off"


@dataclass(frozen=True)
class Assessed:
    """A release went out. `assessment`: what its forecasts are worth, in a sentence; `tradable`: whether they may be
    traded."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "assessed"
    component: str
    release: str
    assessment: str
    tradable: bool


@dataclass(frozen=True)
class Failed:
    """An attempt failed by its own error. `transient`: another try may succeed."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "failed"
    component: str
    attempt: int
    token: int
    number: int
    error: str
    transient: bool
    seconds: float


@dataclass(frozen=True)
class Cancelled:
    """An attempt was ended from outside; `error` says why."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "cancelled"
    component: str
    token: int
    error: str


@dataclass(frozen=True)
class TakenOver:
    """`attempts` of a process that died were closed; `from_` is that process (stored as "from")."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "taken over"
    component: str
    from_: str
    attempts: tuple[int, ...]


@dataclass(frozen=True)
class Skipped:
    """A component is up to date. `version` of its output."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "skipped"
    component: str
    version: str | None


@dataclass(frozen=True)
class Deferred:
    """A component is stale, and a policy or a backoff says not yet."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "deferred"
    component: str
    until: str
    causes: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Blocked:
    """A component cannot be computed, because of an upstream or of a process that computes it now."""

    type: ClassVar[str] = "EXECUTING"
    phase: ClassVar[str] = "blocked"
    component: str
    by: str
    causes: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class RunCompleted:
    """The run is over: computed, failed and reused (taken from earlier runs) are components. `owner`: the process that
    died, where one did."""

    type: ClassVar[str] = "RUN_COMPLETED"
    error: str | None
    computed: tuple[str, ...] | None = None
    failed: tuple[str, ...] | None = None
    owner: str | None = None
    reused: tuple[str, ...] | None = None


class RunFailed(RunCompleted):
    """The run is over, and something in it failed."""

    type: ClassVar[str] = "RUN_FAILED"


class RunCancelled(RunCompleted):
    """The run is over: it was ended from outside, or refused."""

    type: ClassVar[str] = "RUN_CANCELLED"


@dataclass(frozen=True)
class Unknown:
    """A row that this version cannot read: written by a newer one, or changed by hand."""

    type: str
    payload: Mapping[str, Any]


Attempted = Started | Finished | CutOff | Assessed | Failed | Cancelled | TakenOver
Executing = Attempted | Skipped | Deferred | Blocked
RunEnded = RunCompleted | RunFailed | RunCancelled
Known = (
    RunCreated
    | RunStarted
    | AgentThinking
    | PlanGenerated
    | ApprovalRequested
    | ApprovalGiven
    | ApprovalRejected
    | ApprovalExpired
    | CodeChanged
    | Executing
    | RunEnded
)
Event = Known | Unknown


@dataclass(frozen=True)
class Progress:
    """How far an attempt has come. For those who watch it, here or from a page (agent.runtime.advance): no record."""

    component: str
    done: int
    total: int
    what: str


def to_json(event: Event) -> dict[str, Any]:
    """The payload as the database keeps it; `event.type` is the row's type."""
    if isinstance(event, Unknown):
        return dict(event.payload)
    payload: dict[str, Any] = {}
    for one in fields(event):
        value = getattr(event, one.name)
        if one.default is MISSING or value != one.default or one.name in _WRITERS:
            payload[one.name.rstrip("_")] = _WRITERS.get(one.name, _plain)(value)
        if one.name == "component":
            payload["phase"] = event.phase  # type: ignore[union-attr]
    return payload


def from_json(type: str, payload: Mapping[str, Any]) -> Event:  # noqa: A002 (the column's name)
    """The event behind a row. Fields that this version does not know are passed over; Unknown where one is missing."""
    cls = _classes().get((type, str(payload.get("phase", ""))))
    if cls is None:
        return Unknown(type, payload)
    try:
        event: Known = cls(**{one.name: _value(one, payload) for one in fields(cls) if _is_there(one, payload)})
        return event
    except (KeyError, TypeError, ValueError, AttributeError):
        return Unknown(type, payload)


def kinds() -> tuple[type[Known], ...]:
    """Every class of event but Unknown, in the order they are declared."""
    return get_args(Known)


@cache
def _classes() -> dict[tuple[str, str], type[Any]]:
    return {(cls.type, getattr(cls, "phase", "")): cls for cls in kinds()}


def _is_there(one: Field[Any], payload: Mapping[str, Any]) -> bool:
    return one.default is MISSING or one.name.rstrip("_") in payload


def _value(one: Field[Any], payload: Mapping[str, Any]) -> Any:
    """The field's value in `payload`. Raises TypeError where a hand wrote something else there."""
    value = _READERS.get(one.name, _frozen)(payload[one.name.rstrip("_")])
    if not _FITS[str(one.type)](value):
        raise TypeError(f"{one.name} is {value!r}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return list(value) if isinstance(value, tuple | list) else value


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _frozen(one) for name, one in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _all(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(isinstance(one, kind) for one in value)


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(fits(one) for one in value.values())


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


# A field's annotation -> whether a value read from JSON is one.
_FITS: Mapping[str, Callable[[Any], bool]] = {
    "str": _is(str),
    "str | None": _is(str, type(None)),
    "int": _is(int),
    "int | None": _is(int, type(None)),
    "float": _is(float, int),
    "bool": _is(bool),
    "bool | None": _is(bool, type(None)),
    "tuple[str, ...]": _all(str),
    "tuple[str, ...] | None": lambda value: value is None or _all(str)(value),
    "tuple[int, ...]": _all(int),
    "tuple[Step, ...]": _all(object),
    "tuple[Reason, ...]": _all(Reason),
    "Mapping[str, str]": _each(_is(str)),
    "Mapping[str, tuple[str, ...]]": _each(_all(str)),
}
_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "steps": lambda steps: plan_to_json(Plan(steps)),
    "causes": reasons_to_json,
}
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "steps": lambda steps: plan_from_json(steps).steps,
    "causes": reasons_from_json,
}
