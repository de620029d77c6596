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


def row_accounts(workspace: Workspace) -> list[Account] | None:
    """The account of each part, by source and part; None before the first success of `ticks`. Raises LakeError."""
    with workspace.database.reading() as connections:
        snapshot = ticks_of(connections)
    return None if snapshot is None else accounts_in(workspace.lake, snapshot)


def row_warnings(workspace: Workspace) -> list[str]:
    """What is odd about the rows of the sources; nothing where that cannot be read, which `agent checks` reports."""
    with workspace.database.reading() as connections:
        snapshot = ticks_of(connections)
    if snapshot is None:
        return []
    try:
        found = jumps.load(_memo(workspace.lake, snapshot, jumps.JUMPS_KEY))
        return warnings(accounts_in(workspace.lake, snapshot)) + jumps.warnings(jumps.all_jumps(found))
    except LakeError:
        return []


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
