"""What can be asked of a project's code, and the values that are asked and answered with.

Only these values, those of the framework they are made of, and plain JSON cross into another process: no class of a
project does. See agent.execution.host.wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from agent.errors import AgentError
from pipelines.component import Deferral, Due, Outcome, Outside, Pending
from pipelines.errors import PipelineError
from pipelines.plugins.code import Code
from pipelines.snapshot import Reads, Snapshot
from pipelines.values import dataclass

Progress = Callable[[int, int, str], None]
Stop = Callable[[], str | None]

LOAD_SECONDS = 30.0  # a project that has not loaded by then is ended
ASK_SECONDS = 60.0  # the same for a probe, which is meant to be cheap, and a policy


@dataclass(frozen=True)
class Origin:
    """What a project is loaded from: its folder, and what agent.toml says of components and sources, parsed once.

    code_cache: file that keeps facts of code files for the next process. is_fresh: do not believe it. others: sections
    of agent.toml that are not the project's. inbox_path: replies of remote sources. other_code: a folder with own
    modules that stand in for those in `base`: a try's.
    """

    base: Path
    values: Mapping[str, Any]
    lake_path: Path
    code_cache: Path
    others: tuple[str, ...] = ()
    is_fresh: bool = False
    inbox_path: Path | None = None
    other_code: Path | None = None

    @property
    def code_base(self) -> Path:
        """The folder that own modules are named from."""
        return self.other_code or self.base


@dataclass(frozen=True)
class Fault:
    """An error in words: what, where, the next thing to do."""

    what: str
    where: str = ""
    fix: str = ""


@dataclass(frozen=True)
class ComponentFacts:
    """A component as everybody but its own code knows it.

    settings_hash, settings: of the settings that count, as hashed and as shown. libraries: declared ones as installed.
    code: None where it cannot be read, which `code_fault` explains. version: as declared by hand.
    """

    name: str
    module: str
    upstream: Mapping[str, Reads]
    reads_sources: bool
    heavy: bool
    is_release: bool
    has_policy: bool
    has_settle: bool
    has_contract: bool
    has_gate: bool
    has_projections: bool
    version: str | None
    settings_hash: str
    settings: Mapping[str, Any]
    libraries: Mapping[str, str]
    code: Code | None
    code_fault: Fault | None = None


@dataclass(frozen=True)
class SourceFacts:
    """A configured source."""

    name: str
    is_historical: bool
    max_age_seconds: float | None = None


@dataclass(frozen=True)
class ProjectFacts:
    """A project as loaded. `faults` are wrong settings, each in words; with any of them the rest is empty."""

    components: Mapping[str, ComponentFacts] = field(default_factory=dict)
    sources: Mapping[str, SourceFacts] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def contents(self, names: Sequence[str]) -> dict[str, str]:
        """File -> hash of its bytes, of all code behind the components `names`."""
        found: dict[str, str] = {}
        for name in names:
            code = self.components[name].code
            found |= code.contents if code is not None else {}
        return found


@dataclass(frozen=True)
class Probed:
    """A source's answer to a probe: digest of all its tokens, and the tokens. `error` is why it did not answer."""

    version: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Question:
    """What a policy is asked about: the component's inputs now and as last read, its output, what became of it."""

    component: str
    inputs: Mapping[str, Snapshot]
    previous_inputs: Mapping[str, Snapshot]
    previous: Snapshot
    live_brier: float | None
    live_count: int


@dataclass(frozen=True)
class Task:
    """Everything an attempt needs. `previous` None means recompute in full. probes: tokens of the sources that answered
    when it was decided to compute. `outside` is for what makes releases. found: what would come out, where that is
    known: all but the component's function runs."""

    component: str
    inputs: Mapping[str, Snapshot]
    previous: Snapshot | None
    previous_inputs: Mapping[str, Snapshot]
    redo: frozenset[str]
    attempt: str
    pending: tuple[Pending, ...] = ()
    probes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    outside: Outside | None = None
    found: Snapshot | None = None


@dataclass(frozen=True)
class Done:
    """What came of it: the output, the rows that SQL tables show of it, outcomes found, memory used.

    libraries: the declared ones as they were loaded. environment: exact versions of all that computed. warnings: what
    the person who wrote the component should know.
    notes: what the component said of its work.
    """

    snapshot: Snapshot
    tables: Mapping[str, Any] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Failure:
    """An error of a project's code in words: what was raised, whether trying again may help, memory used if known.

    kind: the class of ours it is, "" where it is another's. refused: the decisions of a release that was refused."""

    kind: str
    fault: Fault
    trace: str = ""
    is_transient: bool = False
    peak_memory_bytes: int | None = None
    refused: str | None = None


class AttemptFailed(AgentError):
    """The computation failed. Carries the traceback, whether trying again may help, the memory used if known, and the
    decisions of a release that was refused."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.fault.what, where=failure.fault.where, fix=failure.fault.fix)
        self.trace, self.peak_memory_bytes = failure.trace, failure.peak_memory_bytes
        self.transient, self.refused = failure.is_transient, failure.refused


class Cancelled(AgentError):
    """The attempt was ended because the run was cancelled or the process is to stop."""


class CodeMoved(AgentError):
    """Code or data files of a project are not, or not for certain, what was planned with. `files` are these."""

    def __init__(self, files: Sequence[str]) -> None:
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        super().__init__(
            "code of the project changed while it was in use",
            where=shown,
            fix="nothing was computed with it; run again when the files are left alone",
        )
        self.files = tuple(files)


class ProjectDied(AgentError):
    """The process of a project ended by itself: its code leaves, crashes, or was killed. `code` is its exit code, minus
    the signal where it was one."""

    def __init__(self, what: str, *, where: str = "", fix: str = "", code: int | None = None) -> None:
        super().__init__(what, where=where, fix=fix)
        self.code = code


class ProjectBusy(AgentError):
    """The process of a project cannot answer now: it takes too long, or too many wait for it."""


class Host(Protocol):
    """A project's code, loaded. All but `compute` may be asked again without harm."""

    @property
    def facts(self) -> ProjectFacts:
        """The project as it was loaded."""

    @property
    def is_here(self) -> bool:
        """Whether it runs in this very process."""

    def probe(self, source: str) -> Probed:
        """Ask a source what it has."""

    def ask_policy(self, question: Question) -> Deferral | Due | None:
        """Ask a component's policy whether it wants to be recomputed."""

    def prepare(self, names: Sequence[str], expected: Mapping[str, str]) -> None:
        """Import all code behind the components `names`, and make sure that in memory is what `expected` (file -> hash
        of its bytes) says. Raises CodeMoved where it is not."""

    def compute(self, task: Task, *, timeout: float, stop: Stop, progress: Progress) -> Done:
        """Compute an attempt. `stop` returns why to end it, or None. Raises AttemptFailed, Cancelled, CodeMoved."""

    def close(self) -> None:
        """End what is still running."""


def late(timeout: float, where: str) -> PipelineError:
    """The error of an attempt that took too long."""
    return PipelineError(
        f"took longer than {timeout:g} s and was ended",
        where=where,
        fix="raise [executor] timeout_seconds (or its [executor.timeouts] entry), or give it less to do",
    )
