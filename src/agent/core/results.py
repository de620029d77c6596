"""Results that are found again: by what two computations are the same, and when an earlier result may be taken. Pure.

A wrong result is worse than a needless computation: whatever an output might depend on beside its fingerprint keeps it
from being registered, and whoever distrusts what there is gets a computation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from agent.core.explain import UNREACHABLE
from agent.core.model import Code, Current, InputRecord, Mark, Reason, State
from agent.core.staleness import mark_in
from pipelines.snapshot import digest
from pipelines.values import dataclass

# Nobody doubts what was computed before, there is only something else to compute. Of the others a person asked for a
# computation (forced, marked), the sources are to be read whatever they say (too_old), or files are damaged.
_TRUSTING = frozenset(
    {
        Code.NEVER_RUN,
        Code.FAILED,
        Code.CODE_CHANGED,
        Code.SETTINGS_CHANGED,
        Code.LIBRARY_CHANGED,
        Code.INPUT_CHANGED,
        Code.SOURCE_NEW_DATA,
        Code.RETRAIN_DUE,
    }
)


@dataclass(frozen=True)
class Ingredients:
    """All that the output of a component may depend on.

    format, program: versions of what components write, and of this program. code: hash of the tokens of all its code;
    declared_version: what its author wrote by hand. settings_hash: of those that count. inputs: upstream -> its version
    over the declared columns and prefix. sources: source -> digest of the tokens of all its parts. environment: exact
    versions of libraries and of Python, the machine's architecture.

    is_timeless: nothing else counts. False where a source's tokens cannot show every change (it is read again after a
    time), and for what makes releases without having its gate apart.
    """

    component: str
    format: int
    program: str
    code: str
    declared_version: str | None
    settings_hash: str
    inputs: Mapping[str, str]
    sources: Mapping[str, str]
    environment: Mapping[str, str]
    is_timeless: bool = True


def fingerprint(of: Ingredients) -> str | None:
    """A hash over the ingredients: equal ones give an equal output. None where they are not all that counts, or where a
    source does not answer."""
    if not of.is_timeless or any(version.startswith(UNREACHABLE) for version in of.sources.values()):
        return None
    facts = {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(of).items()}
    return digest([json.dumps(facts, sort_keys=True)])


def may_be_taken(reasons: Iterable[Reason]) -> bool:
    """Whether a component that is stale for these reasons may take an earlier result instead of computing."""
    return all(reason.code in _TRUSTING for reason in reasons)


def distrust(reasons: Sequence[Reason]) -> Mark | None:
    """The mark of a person who asked for a computation: then no earlier result of the component is taken any more, and
    tries, which may have the same files, compute it as well. None where nobody asked."""
    if any(reason.code == Code.FORCED for reason in reasons):
        return Mark(reason="its computation was forced in production")
    return mark_in(reasons)


def is_pinned(state: State, current: Current) -> bool:
    """Whether a reader of sources in a try stays as it was when the try began, whatever its sources have by now: where
    nothing else makes it stale. `current` is without sources."""
    if state.output_snapshot_id is None or current.missing or current.altered:
        return False
    has = (state.code_version, state.settings_hash, state.libraries)
    inputs = {name: one.read_version for name, one in current.inputs.items()}
    read = {name: one.read_version for name, one in state.inputs.items() if name in inputs}
    return has == (current.code_version, current.settings_hash, current.libraries) and inputs == read


def as_read(inputs: Mapping[str, InputRecord], after: Mapping[str, str]) -> dict[str, InputRecord]:
    """Inputs as a computation is recorded with. `after`: of each source that answers, the digest of its tokens after
    it. Of a source that moved meanwhile nobody knows what was read: its record is equal to no version, so that it is
    read again even where it has moved back by then."""
    moved = {name for name, version in after.items() if version != inputs[name].version}
    return {
        name: replace(one, version=f"{one.version} moved", read_version=f"{one.version} moved")
        if name in moved
        else one
        for name, one in inputs.items()
    }


def is_pure(before: Mapping[str, str], after: Mapping[str, str], undeclared: Sequence[str]) -> bool:
    """Whether a success depends on its fingerprint alone, as far as could be seen: its sources (source -> digest of all
    tokens) answer after it as they did when it was planned, and it opened no file that it does not declare."""
    return dict(before) == dict(after) and not undeclared
