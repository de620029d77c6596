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
from pipelines.settings import read_toml


def leave_out_and_retry(database: Database, file: Path, component: str, project_id: int, *, now: datetime) -> Run:
    """Let rows that break the rule for which `component` fails be left out and listed from now on, and queue the failed
    run again. Rows that break another rule stop it as before.

    Raises Conflict where the component's error does not offer that any more, SettingsError where `file`, the project's
    agent.toml, cannot be changed by one line.
    """
    with database.reading() as connections:
        found = load_failures(connections, load_states(connections.project, [component]), project_id, now)
    rule = found[0].bad_rule if found else None
    if rule is None:
        raise Conflict(
            f"{component} does not fail for rows that break a rule now",
            where=component,
            fix="load the page again: it shows how the component stands",
        )
    written = read_toml(file).get("ticks", {}).get("on_bad_rows", [])
    if written != "quarantine":
        rules = written if isinstance(written, list) else []
        write_line(file, "ticks", "on_bad_rows", [*rules, *({rule} - set(rules))])
    return queue.retry(database, found[0].attempt.run_id, now=now)
