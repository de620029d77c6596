"""What past attempts recorded, asked over all runs of a project but those of tries."""

from __future__ import annotations

import sqlalchemy as sa

from agent.core.model import Code
from agent.store.control.runs import of_try
from agent.store.tables import attempts, runs


def code_changes(conn: sa.Connection, project_id: int) -> dict[str, list[tuple[int, str]]]:
    """Component -> (attempt id, changed definitions separated by ", ") of the attempts that changed code made due,
    oldest first."""
    query = (
        sa.select(attempts.c.id, attempts.c.component, attempts.c.reasons)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(of_try(project_id, 0))
        .order_by(attempts.c.id)
    )
    found: dict[str, list[tuple[int, str]]] = {}
    for row in conn.execute(query):
        subjects = [reason["subject"] for reason in row.reasons if reason["code"] == Code.CODE_CHANGED]
        found.setdefault(row.component, []).extend((row.id, subject) for subject in subjects)
    return found
