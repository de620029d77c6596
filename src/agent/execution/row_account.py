"""What became of the rows of each source, as the present output of `ticks` has it written down."""

from __future__ import annotations

from agent.execution.workspace import Workspace
from agent.store import state
from agent.store.database.engine import Connections
from agent.store.outputs import catalog
from pipelines.data.tick_parts import jumps
from pipelines.data.tick_parts.account import Account, accounts, warnings
from pipelines.data.tick_parts.memo import MEMO_KEY, load
from pipelines.errors import LakeError
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot


def row_report(workspace: Workspace) -> tuple[list[Account], list[str]] | None:
    """The account of each part, by source and part, and what is odd about the rows (nothing where jumps of prices
    cannot be read, which `agent checks` reports); None before the first success of `ticks`. Raises LakeError."""
    with workspace.database.reading() as connections:
        snapshot = ticks_of(connections)
    if snapshot is None:
        return None
    found = accounts_in(workspace.lake, snapshot)
    try:
        seen = jumps.load(_memo(workspace.lake, snapshot, jumps.JUMPS_KEY))
        return found, warnings(found) + jumps.warnings(jumps.all_jumps(seen))
    except LakeError:
        return found, []


def row_warnings(workspace: Workspace) -> list[str]:
    """What is odd about the rows of the sources; nothing where that cannot be read, which `agent checks` reports."""
    try:
        report = row_report(workspace)
    except LakeError:
        return []
    return [] if report is None else report[1]


def ticks_of(connections: Connections) -> Snapshot | None:
    """The present output of `ticks`; None before its first success."""
    found = state.load_states(connections.project).get("ticks")
    if found is None or found.output_snapshot_id is None:
        return None
    return catalog.load_snapshot(connections.project, found.output_snapshot_id)


def accounts_in(lake: Lake, ticks: Snapshot) -> list[Account]:
    """The account of each part in an output of `ticks`. Raises LakeError."""
    return accounts(load(_memo(lake, ticks, MEMO_KEY), None) or {})


def _memo(lake: Lake, snapshot: Snapshot, key: str) -> bytes | None:
    partition = snapshot.by_key.get(key)
    return None if partition is None else lake.read_bytes(partition)
