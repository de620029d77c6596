"""The values that decisions are made from and of. Frozen, plain, no behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pipelines.snapshot import EVERYTHING, Reads
from pipelines.values import dataclass

# Details of a reason that a plan foresees and that is not there yet.
IF_DIFFERENT = "if it comes out different"
ASSUMED = "assumed to change"


@dataclass(frozen=True)
class Spec:
    """A component as the graph sees it: its name and what it reads of which upstream."""

    name: str
    upstream: Mapping[str, Reads] = field(default_factory=dict)
    reads_sources: bool = False

    def reads(self, name: str) -> Reads:
        return self.upstream.get(name, EVERYTHING)


@dataclass(frozen=True)
class InputRecord:
    """An input as the last success read it. `version` is the whole snapshot's, `read_version` that of the declared
    columns; for a source (`source:NAME`) both are the digest of its probe and snapshot_id is 0.

    parts: of a source with few of them, part -> token, so that the one that changed can be named; else empty."""

    snapshot_id: int
    version: str
    read_version: str
    parts: Mapping[str, str] = field(default_factory=dict)


# Begin `by` of a mark set by whom nobody named: an UPDATE of is_dirty (see the migration 0004), a request over HTTP.
BY_SQL, BY_HTTP = "SQL", "HTTP"


@dataclass(frozen=True)
class Mark:
    """A person's wish that a component be computed again at the next run, whatever its state.

    by: who asked; empty where that is not on record. at: aware UTC; None where it is not known yet.
    reason: their words. partitions: keys to compute again, None for the whole component.
    """

    by: str = ""
    at: datetime | None = None
    reason: str = ""
    partitions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class State:
    """A row of orchestrator_state. Times are aware UTC.

    is_dirty and dirty_reason show what the last evaluation found; decisions read `mark` and the versions alone.
    """

    component: str
    is_dirty: bool = True
    status: Literal["idle", "running", "failed"] = "idle"
    dirty_reason: str | None = None
    mark: Mark | None = None
    last_run_at: datetime | None = None
    run_count: int = 0
    failure_count: int = 0
    consecutive_failures: int = 0
    last_error: str | None = None
    last_failed_at: datetime | None = None
    next_retry_at: datetime | None = None
    code_version: str | None = None
    code_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # module -> {definition: hash}
    settings_hash: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, InputRecord] = field(default_factory=dict)
    output_version: str | None = None
    output_snapshot_id: int | None = None
    output_rows: int | None = None
    last_duration_s: float | None = None
    lease_owner: str | None = None
    lease_token: int = 0
    lease_expires_at: datetime | None = None


@dataclass(frozen=True)
class Current:
    """What is true now of a component, read off before deciding.

    inputs: upstream (or `source:NAME`) -> its present version; an upstream without output is absent.
    missing, altered: keys of the own output whose files are gone or differ from what was written.
    max_age_seconds: how far back the last success may lie (readers of sources only), None for no limit.
    definitions: "module:definition" -> "path:line", so that a code change can be shown.
    """

    code_version: str
    settings_hash: str
    code_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, InputRecord] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    max_age_seconds: float | None = None


class Code(StrEnum):
    """Why a component is stale."""

    NEVER_RUN = "never_run"
    MARKED = "marked"
    FORCED = "forced"
    FAILED = "failed"
    CODE_CHANGED = "code_changed"
    SETTINGS_CHANGED = "settings_changed"
    LIBRARY_CHANGED = "library_changed"
    INPUT_CHANGED = "input_changed"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_ALTERED = "output_altered"
    SOURCE_NEW_DATA = "source_new_data"
    TOO_OLD = "too_old"
    RETRAIN_DUE = "retrain_due"


@dataclass(frozen=True)
class Reason:
    """One cause of staleness with its evidence.

    subject: what it is about (an input, a setting, a definition in the code, a partition, a package).
    old, new: the value recorded and the value found, as text; None where there was or is none. Of a mark: when (ISO
    8601) and by whom, with their words as detail.
    """

    code: Code
    subject: str = ""
    old: str | None = None
    new: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Reuse:
    """An earlier result that a component may take: its snapshot and version, and the attempt and run that computed
    it; `fingerprint` is what it was found by."""

    snapshot_id: int
    version: str
    attempt_id: int
    run_id: int
    fingerprint: str


@dataclass(frozen=True)
class Compute:
    """Run the component. `may_be_cut_off`: its causes are all upstream steps of this plan, which may come out as
    before. `changed`: input -> changed partition keys, where known. Seconds and rows are expected, from history.
    `unless`: what its policy waits for as things stand; it is asked again when its inputs are there. `reuse`: all but
    its function runs, since an earlier run has computed the same. `fingerprint`: what others would find the result by,
    where they may take it."""

    component: str
    reasons: tuple[Reason, ...]
    may_be_cut_off: bool = False
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expected_seconds: float | None = None
    expected_rows: int | None = None
    unless: str | None = None
    reuse: Reuse | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Skip:
    """Nothing makes the component stale."""

    component: str
    version: str | None = None


@dataclass(frozen=True)
class Defer:
    """The component is stale, and a policy or a failure's backoff says not yet."""

    component: str
    reasons: tuple[Reason, ...]
    until: str


@dataclass(frozen=True)
class Block:
    """Something upstream failed, or has no output, so the component cannot be computed."""

    component: str
    by: str
    reasons: tuple[Reason, ...] = ()


Step = Compute | Skip | Defer | Block


@dataclass(frozen=True)
class Plan:
    """Steps in the order they are performed."""

    steps: tuple[Step, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be computed."""
        return not any(isinstance(step, Compute) for step in self.steps)
