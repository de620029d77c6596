"""The one transaction of a success: snapshot, state, attempt, projections, release, events, downstream marks.

Before it nothing happened; after it everything did. It demands the lease's token, so that a process that was asleep
while another took over cannot overwrite its successor.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.core.events import Assessed, CutOff, Finished
from agent.core.explain import found_text
from agent.core.model import Code, Compute, Current, InputRecord, Reason, State
from agent.errors import LeaseLost
from agent.execution.host.interface import Done
from agent.execution.lake_owner import require, require_own
from agent.execution.pointer import repair_current
from agent.execution.release import release_name, write_release
from agent.execution.runlog import RunLog
from agent.execution.sealing import DECISIONS, note_seals
from agent.execution.workspace import Workspace
from agent.store import leases, state
from agent.store.control import attempts
from agent.store.database.engine import Connections, database_now
from agent.store.leases import Lease
from agent.store.outputs import catalog, projections, record, releases, results, trials
from pipelines.private import make_folder
from pipelines.snapshot import Snapshot
from pipelines.values import dataclass


@dataclass(frozen=True)
class Success:
    """An attempt that has its output, computed or found again, and asks to be recorded. fingerprint: what it is found
    by from now on; None where it is not to be found."""

    component: str
    attempt_id: int
    token: int
    before: State
    current: Current
    step: Compute
    done: Done
    seconds: float
    historical: bool
    as_of: datetime | None
    fingerprint: str | None
    result: Lease | None = None  # on computing what it is found by

    @property
    def is_cut_off(self) -> bool:
        """Whether the same version came out as before: then nothing downstream has a reason to run."""
        return self.done.snapshot.version == self.before.output_version

    @property
    def release(self) -> str:
        """Name of the release that a release component makes."""
        return release_name(self.done.snapshot.version, self.as_of)

    def counts(self, old: Snapshot | None) -> tuple[int, int]:
        """Partitions recomputed and carried over; none is recomputed where the output was found again."""
        paths = set() if old is None else {partition.path for partition in old.partitions}
        carried = sum(partition.path in paths for partition in self.done.snapshot.partitions)
        return 0 if self.step.reuse is not None else len(self.done.snapshot.partitions) - carried, carried


@dataclass(frozen=True)
class Recorded:
    """What a commit wrote: id and version of the output's snapshot, and what the flags of its readers show since
    (component -> reason in words)."""

    snapshot_id: int
    version: str
    shown: Mapping[str, str | None]


def commit_success(workspace: Workspace, log: RunLog, success: Success, old: Snapshot | None) -> Recorded | None:
    """Record a success, once, however often it is called; None where an earlier call recorded it. Raises LeaseLost,
    with nothing recorded, when the token is not the newest any more."""
    releases_it = workspace.facts.components[success.component].is_release and not workspace.is_try
    if releases_it:
        make_folder(workspace.settings.releases_path)
        write_release(workspace.lake, success.done.snapshot, workspace.settings.releases_path, success.release)
    sys.audit("tidemill.point", "commit.beginning")
    with log.writing() as connections:
        held = state.hold(connections.project, success.component, success.token)
        if held is None:
            require_own(connections, workspace.settings.lake_path)
        else:
            require(workspace.settings.lake_path, held.lake)
        now, recorded = log.clock.now(), None
        if held is not None:
            snapshot_id = _record(workspace, connections, log, success, old, held, now)
            stale = _seen_to_change(workspace, connections, success)
            state.show_reasons(connections.project, stale)
            recorded = Recorded(snapshot_id, success.done.snapshot.version, stale)
            _finish(workspace, connections, log, success, old, sorted(stale), now)
        elif attempts.attempt_status(connections.control, success.attempt_id) != "succeeded":
            _require_recorded(connections, success)  # by the first of two transactions: the second is made up for
            stale = _seen_to_change(workspace, connections, success)
            _finish(workspace, connections, log, success, old, sorted(stale), now)
    sys.audit("tidemill.point", "commit.done")
    if releases_it:
        note_seals(workspace)
        repair_current(workspace)
    return recorded


def _record(
    workspace: Workspace,
    connections: Connections,
    log: RunLog,
    success: Success,
    old: Snapshot | None,
    held: state.Held,
    now: datetime,
) -> int:
    """The project's part: snapshot, state, projections, release. Gives the lease back; returns the snapshot's id."""
    component, snapshot = workspace.facts.components[success.component], success.done.snapshot
    snapshot_id = success.before.output_snapshot_id
    if snapshot_id is None or old is None or old.partitions != snapshot.partitions:
        snapshot_id = catalog.save_snapshot(
            connections.project,
            snapshot,
            attempt_id=success.attempt_id,
            token=success.token,
            inputs=success.current.inputs,
            code_version=success.current.code_version,
            settings_hash=success.current.settings_hash,
            settings=success.current.settings,
            now=held.now,  # what gc goes by
            known=None if snapshot_id is None or old is None else (snapshot_id, old),
            newest=held.newest_snapshot_id,
        )
    state.commit_success(
        connections.project,
        success.component,
        success.token,
        now=now,
        code_version=success.current.code_version,
        code_files=success.current.code_files,
        settings_hash=success.current.settings_hash,
        settings=success.current.settings,
        libraries={**success.current.libraries, **success.done.libraries},
        inputs=success.current.inputs,
        output_version=snapshot.version,
        output_snapshot_id=snapshot_id,
        output_rows=snapshot.rows,
        duration_s=success.seconds if success.step.reuse is None else None,
    )
    if not held.is_marked:  # else a person doubts what it may have carried over
        _register(connections, log, success, snapshot_id, held.now)
    leases.give_back(connections.project, success.result)
    sys.audit("tidemill.point", "commit.state.written")
    if workspace.is_try:
        _count_trial(connections, success, now)
        return snapshot_id
    _project(connections, success, snapshot_id, now)
    if component.is_release:
        if not success.is_cut_off:
            _record_release(workspace, connections, success, snapshot_id, log, now)
        else:  # the files the release was made from may be those found damaged
            releases.move_to_snapshot(connections.project, success.release, snapshot_id)
    sys.audit("tidemill.point", "commit.projected")
    return snapshot_id


def _register(connections: Connections, log: RunLog, success: Success, snapshot_id: int, now: datetime) -> None:
    """Let the output be found again. Before releases are written, as gc locks these rows first."""
    conn, name, mark = connections.project, success.component, success.fingerprint
    if mark is None:
        return
    if success.step.reuse is not None:
        results.move(conn, name, mark, snapshot_id, now)
        sys.audit("tidemill.point", "commit.result.moved")
    else:
        facts = {"snapshot_id": snapshot_id, "attempt_id": success.attempt_id, "run_id": log.run_id}
        results.register(conn, name, mark, **facts, now=now)


def _finish(
    workspace: Workspace,
    connections: Connections,
    log: RunLog,
    success: Success,
    old: Snapshot | None,
    marked: list[str],
    now: datetime,
) -> None:
    """The server's part: the attempt is closed and its events written."""
    snapshot = success.done.snapshot
    recomputed, carried = success.counts(old)
    input_versions = {key: record.read_version for key, record in success.current.inputs.items()}
    attempts.finish_attempt(
        connections.control,
        success.attempt_id,
        status="succeeded",
        now=now,
        input_versions=input_versions,
        output_version=snapshot.version,
        is_cut_off=success.is_cut_off,
        rows=snapshot.rows,
        recomputed_partitions=recomputed,
        carried_partitions=carried,
        seconds=success.seconds,
        peak_memory_bytes=success.done.peak_memory_bytes,
    )
    kind = CutOff if success.is_cut_off else Finished
    log.add(
        kind(
            success.component,
            success.attempt_id,
            success.token,
            input_versions,
            version=snapshot.version,
            rows=snapshot.rows,
            seconds=round(success.seconds, 3),
            recomputed_partitions=recomputed,
            carried_partitions=carried,
            marked=tuple(marked),
            reused_run=None if success.step.reuse is None else success.step.reuse.run_id,
        )
    )
    if workspace.facts.components[success.component].is_release and not (success.is_cut_off or workspace.is_try):
        assessment = _metrics_of(workspace, snapshot).get("assessment")
        if isinstance(assessment, dict):
            sentence, is_tradable = str(assessment.get("sentence", "")), assessment.get("tradable") is True
            log.add(Assessed(success.component, success.release, assessment=sentence, tradable=is_tradable))


def _metrics_of(workspace: Workspace, snapshot: Snapshot) -> dict[str, Any]:
    """metrics.json of a release; nothing where it has none."""
    partition = snapshot.by_key.get("metrics.json")
    found = {} if partition is None else json.loads(workspace.lake.read_bytes(partition))
    return found if isinstance(found, dict) else {}


def _require_recorded(connections: Connections, success: Success) -> None:
    """Raise LeaseLost, unless the project's database has this success."""
    if not attempts.is_recorded(connections.project, success.attempt_id, success.component, success.token):
        raise LeaseLost(
            f"the result of {success.component} is refused: its lease was taken over while this process slept",
            where=f"{success.component}, token {success.token}",
            fix="nothing to do: the process that took over computes it",
        )


def _project(connections: Connections, success: Success, snapshot_id: int, now: datetime) -> None:
    """Bring the tables that people query up to date with the new snapshot."""
    tables = success.done.tables
    if "markets" in tables:
        projections.upsert_markets(connections.project, tables["markets"], now)
    if "predictions" in tables:
        projections.insert_predictions(connections.project, tables["predictions"], snapshot_id, now)
    if "backtest_metrics" in tables:
        projections.replace_metrics(connections.project, snapshot_id, tables["backtest_metrics"])
    _count_trial(connections, success, now)
    if success.done.outcomes:
        projections.settle_predictions(connections.project, success.done.outcomes, now)


def _count_trial(connections: Connections, success: Success, now: datetime) -> None:
    """Whoever tries something counts, so that the best of many is not taken for skill."""
    metrics = success.done.tables.get("backtest_metrics")
    if metrics is not None:
        trials.note_trial(connections.project, success.component, metrics.get("model", {}), now)


def _record_release(
    workspace: Workspace,
    connections: Connections,
    success: Success,
    snapshot_id: int,
    log: RunLog,
    now: datetime,
) -> None:
    states = state.load_states(connections.project)
    versions: dict[str, Any] = {
        up: {
            "version": states[up].output_version,
            "snapshot_id": states[up].output_snapshot_id,
            "code_version": states[up].code_version,
            "settings_hash": states[up].settings_hash,
        }
        for up in workspace.specs
        if states[up].output_version is not None
    }
    releases.insert_release(
        connections.project,
        name=success.release,
        version=success.done.snapshot.version,
        snapshot_id=snapshot_id,
        is_historical=success.historical,
        as_of=success.as_of,
        versions=versions,
        metrics=_metrics_of(workspace, success.done.snapshot),
        git_commit=log.git_commit,
        run_id=log.run.id if log.run is not None else None,
        now=database_now(connections.project),
    )
    releases.make_current(connections.project, success.release)
    decisions = success.done.snapshot.by_key.get(DECISIONS)
    if decisions is not None:
        record.add_seal(connections.project, success.release, workspace.lake.read_bytes(decisions).decode())


def _seen_to_change(workspace: Workspace, connections: Connections, success: Success) -> dict[str, str | None]:
    """Each direct reader to which the new output looks different, with the reason that its flag is to show."""
    readers = [name for name, spec in workspace.specs.items() if success.component in spec.upstream]
    if success.is_cut_off or not readers:
        return {}
    texts: dict[str, str | None] = {}
    for name, reader in state.load_states(connections.project, readers).items():
        spec = workspace.specs[name]
        known: InputRecord | None = reader.inputs.get(success.component)
        if known is None or known.version == success.done.snapshot.version:
            continue
        seen = success.done.snapshot.version_of(spec.reads(success.component))
        if seen != known.read_version:
            reason = Reason(Code.INPUT_CHANGED, success.component, known.read_version, seen)
            texts[name] = found_text(name, [reason])
    return texts
