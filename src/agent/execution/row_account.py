"""What became of the rows of each source, as the present output of `ticks` has it written down."""

from __future__ import annotations

from agent.execution.workspace import Workspace
from agent.store import state
from agent.store.outputs import catalog
from pipelines.data.tick_parts.account import Account, accounts, warnings
from pipelines.data.tick_parts.memo import MEMO_KEY, load
from pipelines.errors import LakeError


def row_accounts(workspace: Workspace) -> list[Account] | None:
    """The account of each part, by source and part; None before the first success of `ticks`. Raises LakeError."""
    with workspace.database.reading() as connections:
        found = state.load_states(connections.project).get("ticks")
        if found is None or found.output_snapshot_id is None:
            return None
        snapshot = catalog.load_snapshot(connections.project, found.output_snapshot_id)
    memo = snapshot.by_key.get(MEMO_KEY)
    return accounts((None if memo is None else load(workspace.lake.read_bytes(memo), None)) or {})


def row_warnings(workspace: Workspace) -> list[str]:
    """What is odd about the rows of the sources; nothing where that cannot be read, which `agent checks` reports."""
    try:
        return warnings(row_accounts(workspace) or [])
    except LakeError:
        return []
