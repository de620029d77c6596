"""What is asked of a proving process, what it answers, and what is said of it. Plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from pipelines.snapshot import Snapshot
from pipelines.values import dataclass


@dataclass(frozen=True)
class Conditions:
    """What a result must not depend on: how one process differs from another.

    hash_seed: order of sets of texts. timezone: of the process, None as it is. is_foreign: another locale, where one is
    installed. threads: of pools and libraries, None as many as there are. is_jittered: what was begun first ends last.
    hides_columns: columns that are not declared hold nothing.
    """

    hash_seed: int
    timezone: str | None = None
    is_foreign: bool = False
    threads: int | None = None
    is_jittered: bool = False
    hides_columns: bool = False


@dataclass(frozen=True)
class Pass:
    """One computation. inputs, previous, previous_inputs, redo as in `pipelines.component.perform`; it ends once
    `limit` partitions were written."""

    name: str
    inputs: Mapping[str, Snapshot]
    previous: Snapshot | None
    previous_inputs: Mapping[str, Snapshot]
    redo: frozenset[str]
    limit: int


@dataclass(frozen=True)
class Evidence:
    """Something seen while a component ran. kind: clock, randomness, environment, file, network, program, locale,
    column, machine or state. is_certain: its own code asked for it, not a library for purposes of its own."""

    kind: str
    what: str
    where: str
    is_certain: bool = True


@dataclass(frozen=True)
class PassResult:
    """What came of a pass. written: key -> content hash; kept: the same of what was carried over, where the pass was
    not ended early; error: what the component raised."""

    name: str
    written: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    evidence: Sequence[Evidence] = ()

    @property
    def known(self) -> dict[str, str]:
        """Key -> content hash of all that is known of the output."""
        return {**self.kept, **self.written}


@dataclass(frozen=True)
class Finding:
    """A fault of a component: what, where, and what to do."""

    component: str
    kind: str
    what: str
    where: str
    fix: str


@dataclass(frozen=True)
class ComponentProof:
    """What was done with one component. recomputed: partitions computed, in all passes, to find whether something is
    wrong; diagnosed: further ones to find its cause; partitions: how many its output has. notes: what could not be
    tested, and what is no fault by itself."""

    component: str
    partitions: int
    recomputed: int
    diagnosed: int
    findings: Sequence[Finding]
    notes: Sequence[str]


@dataclass(frozen=True)
class Proof:
    """All components. share: recomputed partitions, in all passes, of all that these components have. `seed` draws the
    same sample again."""

    components: Sequence[ComponentProof]
    share: float
    seed: int
    seconds: float

    @property
    def findings(self) -> list[Finding]:
        """The faults of all components."""
        return [finding for one in self.components for finding in one.findings]
