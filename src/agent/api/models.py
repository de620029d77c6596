"""Bodies of requests and answers, with examples for the OpenAPI document. Times are UTC in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from agent.api.strict import Body
from agent.service.cycle_schedule import HIGH_MINUTES, LOW_MINUTES

Utc = Annotated[datetime, AfterValidator(lambda value: value.astimezone(UTC))]
RunStatus = Literal["QUEUED", "AWAITING_APPROVAL", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
OpenStatus = Literal["QUEUED", "AWAITING_APPROVAL", "RUNNING"]
# What moves a terminal's cursor, forges a line of a log, or turns the direction of writing.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=rf"^[^{_CONTROLS}]+$")
]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=rf"^[^{_CONTROLS}]+$")
]
# As Line, and it may have several lines.
Prose = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=rf"^([^{_CONTROLS}]|[\t\n])+$"),
]
# 5 where it is whole, as people write it.
Seconds = Annotated[float, PlainSerializer(lambda value: int(value) if value == int(value) else value)]


def example(**values: Any) -> ConfigDict:
    """The configuration of a model with an example of it."""
    return ConfigDict(json_schema_extra={"example": values}, from_attributes=True)


class Problem(BaseModel):
    """What went wrong, where, and what to do next."""

    detail: str
    where: str = ""
    fix: str = ""
    state: str | None = Field(None, description="The runner's state, where that was in the way.")


class AgentStatus(BaseModel):
    """How the background runner stands. `last_run` is when the newest cycle began."""

    model_config = example(
        state="running",
        running=True,
        last_run="2026-02-07T00:45:00.123456Z",
        next_run="2026-02-07T01:15:00.123456Z",
        interval_minutes=30,
        run_count=2,
        error_count=1,
        last_error="model failed: …",
        total_forecasts=10,
        total_trades=0,
    )
    state: Literal["stopped", "running", "paused", "error"]
    running: bool
    last_run: Utc | None
    next_run: Utc | None
    interval_minutes: int
    run_count: int
    error_count: int
    last_error: str | None
    total_forecasts: int
    total_trades: int


class Started(BaseModel):
    """The runner was started."""

    model_config = example(
        status="started", message="Agent started with 60 minute interval", next_run="2026-02-07T01:00:00.123456Z"
    )
    status: Literal["started"] = "started"
    message: str
    next_run: Utc


class Moved(BaseModel):
    """The runner was stopped, paused or resumed."""

    model_config = example(status="paused", message="Agent paused")
    status: Literal["stopped", "paused", "resumed"]
    message: str


class IntervalUpdate(Body):
    """The interval to be set: from one cycle's start to the next one's."""

    model_config = example(interval_minutes=30)
    interval_minutes: int = Field(ge=LOW_MINUTES, le=HIGH_MINUTES, description="Minutes, up to a week.")


class IntervalUpdated(BaseModel):
    """The interval was set."""

    model_config = example(status="updated", interval_minutes=30, message="Interval updated to 30 minutes")
    status: Literal["updated"] = "updated"
    interval_minutes: int
    message: str


class AgentRunResult(BaseModel):
    """What came of a cycle."""

    model_config = example(
        success=True,
        started_at="2026-02-07T00:30:00.123456Z",
        completed_at="2026-02-07T00:30:15.789012Z",
        error=None,
    )
    success: bool
    started_at: Utc
    completed_at: Utc
    error: str | None


class ProjectOut(BaseModel):
    """A project: a folder with its own agent.toml, lake and state. Project 0 is the server's own."""

    model_config = example(id=1, name="test", local_path="/tmp/test", created_at="2026-02-07T00:30:00Z")  # noqa: S108
    id: int
    name: str
    local_path: str
    created_at: Utc


class ProjectGone(BaseModel):
    """A project was removed: its row and its runs and, where asked for, its home with all that it computed."""

    model_config = example(id=1, runs=12, data=False, home="/tmp/test/.tidemill")  # noqa: S108
    id: int
    runs: int
    data: bool = Field(description="Whether what it computed was removed, too.")
    home: str = Field(description="The folder with what it computed.")


class RunIn(Body):
    """A run to be queued."""

    model_config = example(project_id=1, goal="refresh features")
    project_id: int = Field(0, ge=0, le=2**31 - 1)
    goal: Line = Field(description="A sentence or a component: `publish`, `refresh features`, `retrain`, free text.")
    targets: list[Name] | None = Field(
        None, max_length=100, description="Components to bring up to date, with what they need; goes before the goal."
    )
    require_approval: bool = Field(False, description="Plan first, then wait for a person.")
    priority: Annotated[int, Field(ge=-100, le=100, description="Of runs that wait, the highest goes first.")] = 0


class RunOut(BaseModel):
    """A run. `iteration` counts the components evaluated so far; `targets` empty means everything; `retry_of` is the
    run that it repeats."""

    model_config = example(
        id=1,
        project_id=1,
        goal="refresh features",
        targets=["features"],
        force=[],
        trigger="queue",
        status="COMPLETED",
        priority=0,
        retry_of=None,
        require_approval=False,
        cancel_requested=False,
        iteration=3,
        plan=None,
        git_commit=None,
        error=None,
        created_at="2026-02-07T00:30:00Z",
        started_at="2026-02-07T00:30:01Z",
        finished_at="2026-02-07T00:30:09Z",
    )
    id: int
    project_id: int
    goal: str
    targets: list[str]
    force: list[str]
    trigger: str
    status: RunStatus
    priority: int
    retry_of: int | None
    require_approval: bool
    cancel_requested: bool
    iteration: int
    plan: list[dict[str, Any]] | None
    git_commit: str | None
    error: str | None
    created_at: Utc
    started_at: Utc | None
    finished_at: Utc | None


class RunPage(BaseModel):
    """Runs, newest first; `next_cursor` asks for the page after, null on the last one."""

    runs: list[RunOut]
    next_cursor: str | None


class RunsToCancel(Body):
    """Which runs to end: those in one of `statuses`, of this project if one is named, created in this time."""

    model_config = example(statuses=["QUEUED"], project_id=1)
    statuses: list[OpenStatus] = Field(list(get_args(OpenStatus)), min_length=1, max_length=3)
    project_id: int | None = Field(None, ge=0, le=2**31 - 1)
    created_after: Annotated[Utc | None, Field(strict=False)] = None
    created_before: Annotated[Utc | None, Field(strict=False)] = None


class RunsCancelled(BaseModel):
    """Runs that were ended, or are asked to end within seconds where they are being carried out."""

    model_config = example(cancelled=[3, 4], more=False)
    cancelled: list[int]
    more: bool = Field(description="There are more such runs: ask again.")


class AttemptOut(BaseModel):
    """A try of one component in a run; `seconds` from its start to its commit. Passwords in texts are hidden."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    component: str
    number: int = Field(description="1 for the first try in this run.")
    status: str
    reused_from: int | None = Field(description="The attempt whose output it took; null: it computed one itself.")
    output_version: str | None
    is_cut_off: bool | None = Field(description="Succeeded with the version it had before.")
    rows: int | None
    seconds: float | None
    error: str | None
    traceback: str | None
    started_at: Utc
    finished_at: Utc | None


class EventOut(BaseModel):
    """Something that happened in a run; `seq` counts from 1 within it."""

    model_config = example(
        id=7,
        run_id=1,
        seq=2,
        type="RUN_STARTED",
        payload={"goal": "refresh features", "targets": ["features"], "trigger": "queue"},
        created_at="2026-02-07T00:30:01Z",
    )
    id: int
    run_id: int
    seq: int
    type: str
    payload: dict[str, Any]
    created_at: Utc


class Answer(Body):
    """A person's answer to a run that waits for approval."""

    model_config = example(reason="the new settings look right")
    reason: Prose | None = None


class WorkerStatus(BaseModel):
    """The worker of this server process."""

    model_config = example(running=True, check_interval=5)
    running: bool
    check_interval: Seconds = Field(description="Seconds between looks into the queue.")


class Triggered(BaseModel):
    """The worker looks into the queue now."""

    model_config = example(status="triggered", queued=1)
    status: Literal["triggered"] = "triggered"
    queued: int = Field(description="Runs that were waiting at that moment.")


class ComponentState(BaseModel):
    """A row of orchestrator_state, without its evidence."""

    model_config = ConfigDict(from_attributes=True)
    component: str
    status: str
    is_dirty: bool
    dirty_reason: str | None
    last_run_at: Utc | None
    run_count: int
    failure_count: int
    consecutive_failures: int
    last_error: str | None
    last_failed_at: Utc | None
    next_retry_at: Utc | None
    output_version: str | None
    output_rows: int | None
    last_duration_s: float | None


class PlanOut(BaseModel):
    """What the next run would do: steps in order, as stored, and the same in words."""

    steps: list[dict[str, Any]]
    lines: list[str]


class Explanation(BaseModel):
    """Why a component would run now: from the first cause down, a sentence each."""

    component: str
    step: Literal["compute", "skip", "defer", "block"]
    sentences: list[str]


class Mark(Body):
    """A request to recompute a component, or some of its partitions, in the next run."""

    model_config = example(reason="the source corrected its prices")
    reason: Prose = "marked over HTTP"
    partitions: list[Name] | None = Field(None, min_length=1, max_length=10_000)


class ReleaseOut(BaseModel):
    """A release: what publish produced. `as_of` is the newest tick behind it."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    version: str
    is_current: bool
    is_historical: bool
    as_of: Utc | None
    versions: dict[str, Any]
    metrics: dict[str, Any]
    git_commit: str | None
    run_id: int | None
    created_at: Utc


class Ready(BaseModel):
    """Whether the server can work: each part is `ok`, or says what is wrong."""

    model_config = example(ready=True, database="ok", migrations="ok", lake="ok")
    ready: bool
    database: str
    migrations: str
    lake: str
