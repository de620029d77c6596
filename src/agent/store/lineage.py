"""Reads what the lineage of a component's outputs is told from: see agent.core.lineage."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from agent.core.answers import Line
from agent.core.lineage import Made, Output, origins, used_by
from agent.store.database.engine import Connections
from agent.store.outputs import catalog, releases
from agent.store.outputs.catalog import SnapshotRow
from agent.store.tables import attempts

_RELEASES = 200  # newest, in which an output is looked for
_MOST = 50  # outputs behind one: as many as a graph has components, with room


def load_outputs(at: Connections, component: str, limit: int) -> list[Output]:
    """The newest outputs of a component, newest first, with the releases that used them."""
    rows = catalog.snapshot_history(at.project, component, limit)
    known = [(one.name, one.versions) for one in releases.list_releases(at.project, _RELEASES)]
    return used_by(_made(at, rows), known)


def load_origins(at: Connections, output: Output) -> list[Line]:
    """From an output up to the files of the sources, a line for each output behind it."""
    known: dict[int, Made] = {}
    wanted = _inputs_of([output.made])
    while wanted and len(known) < _MOST:
        found = _made(at, catalog.snapshot_rows(at.project, wanted))
        known |= {one.id: one for one in found}
        wanted = _inputs_of(found) - known.keys()
    return origins(output.made, known)


def _inputs_of(outputs: Collection[Made]) -> set[int]:
    return {record.snapshot_id for one in outputs for record in one.inputs.values() if record.snapshot_id}


def _made(at: Connections, rows: Collection[SnapshotRow]) -> list[Made]:
    ids = [row.attempt_id for row in rows if row.attempt_id is not None]
    query = sa.select(attempts.c.id, attempts.c.run_id).where(attempts.c.id.in_(ids))
    runs = {row.id: row.run_id for row in at.control.execute(query)} if ids else {}
    return [
        Made(
            row.id,
            row.component,
            row.version,
            row.rows,
            row.watermark,
            row.created_at,
            row.inputs,
            None if row.attempt_id is None else runs.get(row.attempt_id),
        )
        for row in rows
    ]
