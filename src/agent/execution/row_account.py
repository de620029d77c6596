"""What became of the rows of each source, as the present output of `ticks` has it written down."""

from __future__ import annotations

from agent.execution.workspace import Workspace
from agent.store import state
from agent.store.outputs import catalog
from pipelines.data.tick_parts import jumps
from pipelines.data.tick_parts.account import Account, accounts, warnings
from pipelines.data.tick_parts.memo import MEMO_KEY, load
from pipelines.errors import LakeError
from pipelines.snapshot import Snapshot


def row_accounts(workspace: Workspace) -> list[Account] | None:
    """The account of each part, by source and part; None before the first success of `ticks`. Raises LakeError."""
    snapshot = _ticks(workspace)
    return None if snapshot is None else accounts(load(_memo(workspace, snapshot, MEMO_KEY), None) or {})


def row_warnings(workspace: Workspace) -> list[str]:
    """What is odd about the rows of the sources; nothing where that cannot be read, which `agent checks` reports."""
    try:
        snapshot = _ticks(workspace)
        if snapshot is None:
            return []
        rows = warnings(accounts(load(_memo(workspace, snapshot, MEMO_KEY), None) or {}))
        found = jumps.load(_memo(workspace, snapshot, jumps.JUMPS_KEY))
        return rows + jumps.warnings(jumps.all_jumps(found))
    except LakeError:
        return []


def _ticks(workspace: Workspace) -> Snapshot | None:
    """The present output of `ticks`."""
    with workspace.database.reading() as connections:
        found = state.load_states(connections.project).get("ticks")
        if found is None or found.output_snapshot_id is None:
            return None
        return catalog.load_snapshot(connections.project, found.output_snapshot_id)


def _memo(workspace: Workspace, snapshot: Snapshot, key: str) -> bytes | None:
    partition = snapshot.by_key.get(key)
    return None if partition is None else workspace.lake.read_bytes(partition)
