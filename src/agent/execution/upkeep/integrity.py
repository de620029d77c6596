"""Looks at what is stored: are the files what was written, and do the tables keep their contracts?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.core.model import Mark, State
from agent.execution.release import current_name, is_whole
from agent.execution.survey import Inspector
from agent.execution.upkeep.bar_check import changed_bars
from agent.execution.workspace import Workspace
from agent.store import state
from agent.store.outputs import catalog, releases
from agent.store.outputs.catalog import FileFacts
from pipelines.errors import PipelineError
from pipelines.lake import TABLE_SUFFIX, hash_file
from pipelines.values import dataclass

_NEXT_RUN = "`agent run` computes it again"
_EARLIER = "its output was made by other code than there is now, and does not keep this code's contract"
_MARKED = "marked: `agent run` computes it again"
_OLD = "only an earlier output has it: restore a backup, or let `agent gc` take it in time"
_ALTERED = "agent checks --deep found its file altered"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, where, and the fix. `key` is the partition, empty for a release."""

    component: str
    key: str
    what: str
    where: str
    fix: str


@dataclass(frozen=True)
class Inspection:
    """What was looked at and what was found."""

    files: int
    hashed: int
    tables: int
    findings: tuple[Finding, ...]


def examine(workspace: Workspace, *, deep: bool, by: str) -> Inspection:
    """Check the current outputs: files by size and time of change (hashed where that differs), tables by contract.

    Bars are compared with those of the sources, and each backtested entry with its signal's time (both are contracts).
    `deep` hashes every file that any snapshot refers to. A current file that only its hash betrays is marked dirty,
    in the name of `by`, since a run would not notice it.
    """
    with workspace.database.reading() as connections:
        states = state.load_states(connections.project)
        outputs = {one.output_snapshot_id: name for name, one in states.items() if one.output_snapshot_id is not None}
        files = {
            (outputs[snapshot_id], fact.path): fact
            for snapshot_id, facts in catalog.file_facts(connections.project, outputs).items()
            for fact in facts
        }
        older = catalog.every_file(connections.project) if deep else []
    current = set(files)
    files |= {(name, fact.path): fact for name, fact in older if (name, fact.path) not in current}
    findings, hidden, hashed, broken = [], [], 0, set()
    for (name, path), fact in sorted(files.items()):
        what, was_hashed, is_hidden = _compare(workspace.settings.lake_path / path, fact, deep=deep)
        hashed += was_hashed
        if what is None:
            continue
        broken.add((name, fact.key))
        is_current = (name, path) in current
        if is_current and is_hidden:
            hidden.append((name, fact.key))
        fix = (_MARKED if is_hidden else _NEXT_RUN) if is_current else _OLD
        findings.append(Finding(name, fact.key, what, str(workspace.settings.lake_path / path), fix))
    if hidden:
        with workspace.database.writing() as connections:
            for name, key in hidden:
                state.mark_dirty(connections.project, name, Mark(by, reason=_ALTERED, partitions=(key,)))
    tables, violations = _contracts(
        workspace, states, {(name, files[name, path].key) for name, path in current}, broken
    )
    bars = [] if broken else _bars(workspace, states)
    return Inspection(len(files), hashed, tables, (*findings, *violations, *bars, *_release(workspace)))


def _compare(path: Path, fact: FileFacts, *, deep: bool) -> tuple[str | None, bool, bool]:
    """What is wrong with a file or None, whether it was hashed, and whether size and time alone look right."""
    try:
        found = path.stat()
    except OSError:
        return "its file is missing", False, False
    if found.st_size != fact.size:
        return f"its file has {found.st_size} bytes, written were {fact.size}", False, False
    looks_right = found.st_mtime_ns == fact.mtime_ns
    if looks_right and not deep:
        return None, False, False
    is_same = hash_file(path) == fact.file_hash
    return (None if is_same else "its file was altered since it was written"), True, looks_right


def _contracts(
    workspace: Workspace, states: Mapping[str, State], current: set[tuple[str, str]], broken: set[tuple[str, str]]
) -> tuple[int, list[Finding]]:
    tables, findings = 0, []
    for name, component in workspace.project.components.items():
        snapshot_id = states[name].output_snapshot_id if name in states else None
        if component.contract is None or snapshot_id is None:
            continue
        with workspace.database.reading() as connections:
            snapshot = catalog.load_snapshot(connections.project, snapshot_id)
        for partition in snapshot.select():
            if not partition.path.endswith(TABLE_SUFFIX) or (name, partition.key) in broken:
                continue
            tables += 1
            try:
                component.contract(partition.key, workspace.lake.read_table(partition))
            except PipelineError as error:
                if _is_of_earlier_code(workspace, name, states[name]):
                    findings.append(Finding(name, "", _EARLIER, partition.path, _NEXT_RUN))
                    break
                fix = f"correct the data at its source, then `agent mark-dirty {name}:{partition.key}` and `agent run`"
                findings.append(Finding(name, partition.key, error.what, error.where or partition.path, fix))
    return tables, findings


def _is_of_earlier_code(workspace: Workspace, name: str, state: State) -> bool:
    component = workspace.project.components[name]
    return state.code_version != (component.version or Inspector(workspace).code(name).version)


def _bars(workspace: Workspace, states: Mapping[str, State]) -> list[Finding]:
    """Bars out are bars in: what features hands on is what ticks had when features was made of it."""
    state = states.get("features")
    if state is None or state.output_snapshot_id is None or not {"ticks", "markets"} <= state.inputs.keys():
        return []
    with workspace.database.reading() as connections:
        features = catalog.load_snapshot(connections.project, state.output_snapshot_id)
        ticks, markets = (
            catalog.load_snapshot(connections.project, state.inputs[name].snapshot_id) for name in ("ticks", "markets")
        )
    interval = state.settings.get("interval") if state.settings else None
    seconds = interval if isinstance(interval, int) else None
    fix = "`agent mark-dirty features`, then `agent run`"
    return [
        Finding("features", key, what, "its bars/", fix)
        for key, what in changed_bars(workspace.lake, ticks, features, markets, seconds)
    ]


def _release(workspace: Workspace) -> list[Finding]:
    with workspace.database.reading() as connections:
        row = releases.current_release(connections.project)
        if row is None:
            return []
        snapshot = catalog.load_snapshot(connections.project, row.snapshot_id)
    folder = workspace.settings.releases_path / row.name
    if not is_whole(folder, snapshot):
        what = "its folder is not what was published"
    elif current_name(workspace.settings.releases_path) != row.name:
        what = "the pointer `current` leads elsewhere"
    else:
        return []
    fix = f"delete the folder, then `agent rollback {row.name}` writes it again"
    return [Finding(snapshot.component, "", f"the current release {row.name}: {what}", str(folder), fix)]
