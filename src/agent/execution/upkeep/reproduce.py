"""Recomputes a past release from what it recorded, into a lake of its own, and compares versions.

Every component is given the input snapshots and settings that its output was made from, so that a difference is
reported where it arises and not once more for each component below.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from agent.core.graph import order
from agent.core.model import InputRecord, State
from agent.execution.survey import SOURCE_PREFIX, Inspector, definitions_of
from agent.execution.workspace import Workspace
from agent.store import state
from agent.store.control import history
from agent.store.outputs import catalog, releases
from agent.store.outputs.catalog import SnapshotRow
from agent.store.outputs.releases import Release
from pipelines.component import Component, perform
from pipelines.errors import PipelineError
from pipelines.fingerprint import settings_hash
from pipelines.lake import Lake
from pipelines.settings import Faults, build
from pipelines.snapshot import Partition
from pipelines.values import dataclass

Outcome = Literal["same", "different", "taken as recorded", "not possible"]


@dataclass(frozen=True)
class Verdict:
    """What came of recomputing one component of a release. code_changes: definitions that differ from those that made
    it, as far as it is on record; `is_code_same` False with none of them: it changed, and what is not on record."""

    component: str
    outcome: Outcome
    recorded: str
    recomputed: str | None = None
    note: str = ""
    is_code_same: bool = True
    code_changes: tuple[str, ...] = ()


class Overlay(Lake):
    """Writes to a folder of its own, reads from there and, what is not there, from the project's lake."""

    def __init__(self, root: Path, below: Lake) -> None:
        super().__init__(root)
        self._below = below

    def path_of(self, partition: Partition) -> Path:
        own = super().path_of(partition)
        return own if own.exists() else self._below.path_of(partition)


def reproduce(
    workspace: Workspace, name: str, progress: Callable[[str], None] = lambda component: None
) -> tuple[Release, list[Verdict]]:
    """Recompute release `name`; one verdict per component, in the order they are computed. Raises NotFound.

    Markets and ticks are recomputed only where the sources answer as they did then; else they are taken as recorded.
    """
    with workspace.database.reading() as connections:
        release = releases.load_release(connections.project, name)
        rows = {
            component: catalog.snapshot_row(connections.project, facts["snapshot_id"])
            for component, facts in release.versions.items()
        }
        publish = catalog.snapshot_row(connections.project, release.snapshot_id)
        rows[publish.component] = publish
        states = state.load_states(connections.project)
        changes = history.code_changes(connections.control, workspace.database.project_id)
    survey, verdicts = Inspector(workspace), []
    with tempfile.TemporaryDirectory(prefix="tidemill-reproduce-") as folder:
        lake = Overlay(Path(folder), workspace.lake)
        known = [one for one in order(workspace.specs) if one in rows]
        for component in [*known, *sorted(rows.keys() - set(known))]:
            progress(component)
            code = _code_changes(survey, rows[component], states, changes) if component in known else None
            verdicts.append(_verdict(workspace, survey, lake, rows[component], states, code))
    return release, verdicts


@dataclass(frozen=True)
class _Code:
    is_same: bool
    changes: tuple[str, ...]


def _verdict(
    workspace: Workspace,
    survey: Inspector,
    lake: Lake,
    row: SnapshotRow,
    states: Mapping[str, State],
    code: _Code | None,
) -> Verdict:
    name = row.component
    if code is None:
        return Verdict(name, "not possible", row.version, note="there is no such component any more")
    component = workspace.project.components[name]
    facts: dict[str, Any] = {"is_code_same": code.is_same, "code_changes": code.changes}
    moved = _moved_sources(survey, row, states) if component.reads_sources else []
    if moved:
        note = f"the sources may have moved on ({', '.join(moved)})"
        return Verdict(name, "taken as recorded", row.version, note=note, **facts)
    gone = [up for up in component.upstream if up not in row.inputs]
    if gone:
        return Verdict(name, "not possible", row.version, note=f"it did not read {', '.join(gone)} then", **facts)
    try:
        settings, recorded_hash = _settings(workspace, component, row)
        if recorded_hash != row.settings_hash:
            facts["note"] = "its settings are not all on record (a default or a secret changed since)"
        snapshot = perform(
            component,
            settings,
            {up: survey.snapshot(row.inputs[up].snapshot_id) for up in component.upstream},
            lake=lake,
            attempt="again",
            sources=workspace.project.sources if component.reads_sources else {},
            base=workspace.project.base,
        )
    except PipelineError as error:
        return Verdict(name, "not possible", row.version, **{**facts, "note": error.what})
    except Exception as error:  # whatever today's code makes of inputs of another time
        note = f"today's code fails on it: {type(error).__name__}: {error}"
        return Verdict(name, "not possible", row.version, **{**facts, "note": note})
    outcome: Outcome = "same" if snapshot.version == row.version else "different"
    return Verdict(name, outcome, row.version, snapshot.version, **facts)


def _moved_sources(survey: Inspector, row: SnapshotRow, states: Mapping[str, State]) -> list[str]:
    """Sources that answer otherwise than when `row` was made, or are configured otherwise."""
    current = survey.current(row.component, states, check_files=False)
    then = {name: record for name, record in row.inputs.items() if name.startswith(SOURCE_PREFIX)}
    now = {name: record for name, record in current.inputs.items() if name.startswith(SOURCE_PREFIX)}
    moved = {name for name in then.keys() | now.keys() if _version(then.get(name)) != _version(now.get(name))}
    return sorted(name.removeprefix(SOURCE_PREFIX) for name in moved)


def _version(record: InputRecord | None) -> str | None:
    return None if record is None else record.version


def _settings(workspace: Workspace, component: Component, row: SnapshotRow) -> tuple[Any, str]:
    """The settings that `row` was made with, rebuilt, and their hash. Raises SettingsError where they do not fit."""
    faults = Faults(f"settings recorded with snapshot {row.id}")
    own = {name: value for name, value in row.settings.items() if not name.startswith("sources.")}
    settings = build(component.settings, _without_nulls(own), component.name, faults)
    faults.raise_if_any()
    hashed = (settings, dict(workspace.project.source_settings)) if component.reads_sources else settings
    return settings, settings_hash(hashed)


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """As agent.toml would say it: what is not set is not there."""
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }


def _code_changes(
    survey: Inspector, row: SnapshotRow, states: Mapping[str, State], changes: Mapping[str, Sequence[tuple[int, str]]]
) -> _Code:
    """Definitions that changed since `row` was made: those that later attempts recorded as their reason, and those
    that differ now from the last success."""
    name, code = row.component, survey.code(row.component)
    version = survey.workspace.facts.components[name].version or code.version
    if version == row.code_version:
        return _Code(True, ())
    last = states[name].code_files
    flat = {f"{module}:{one}": value for module, names in last.items() for one, value in names.items()}
    now = {f"{module}:{one}": value for module, names in definitions_of(code).items() for one, value in names.items()}
    found = {one for one in flat.keys() | now.keys() if flat.get(one) != now.get(one)} if flat else set()
    for attempt_id, subject in changes.get(name, ()):
        if row.attempt_id is None or attempt_id > row.attempt_id:
            found.update(subject.split(", "))
    return _Code(False, tuple(sorted(one for one in found if one)))
