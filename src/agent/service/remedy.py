"""Carries out the remedy that an error offers: the setting it names is written, and its run is queued again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from agent.errors import Conflict
from agent.service import queue
from agent.service.failing import load_failures
from agent.settings_line import write_line
from agent.store.control.runs import Run
from agent.store.database.engine import Database
from agent.store.state import load_states


def leave_out_and_retry(database: Database, file: Path, component: str, project_id: int, *, now: datetime) -> Run:
    """Let rows that break a rule be left out and listed from now on, and queue the failed run again.

    Raises Conflict where the component's error does not offer that any more, SettingsError where `file`, the project's
    agent.toml, cannot be changed by one line.
    """
    with database.reading() as connections:
        found = load_failures(connections, load_states(connections.project, [component]), project_id, now)
    if not found or not found[0].can_leave_out:
        raise Conflict(
            f"{component} does not fail for rows that break a rule now",
            where=component,
            fix="load the page again: it shows how the component stands",
        )
    write_line(file, "ticks", "on_bad_rows", "quarantine")
    return queue.retry(database, found[0].attempt.run_id, now=now)
