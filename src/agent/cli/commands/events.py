"""`agent events RUN`: what a run told while it went."""

from __future__ import annotations

import argparse
import json

from agent.cli.output import emit, moment
from agent.console import table
from agent.execution.workspace import open_workspace
from agent.store import events, runs

HELP = "Show the events of a run, in order."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_id", metavar="RUN", type=int, help="number of the run, see `agent runs`")


def run(options: argparse.Namespace) -> int:
    """Print the events."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        runs.load_run(connections.control, options.run_id)
        found = events.load_events(connections.control, options.run_id)
    rows = [(str(one.seq), moment(one.created_at), one.type, _told(one)) for one in found]
    text = table(rows, ("seq", "at (UTC)", "event", "what"), right={0}) if rows else "This run has told nothing yet."
    emit(options, found, text)
    return 0


def _told(event: events.Event) -> str:
    """The payload in a line; the plan, which is long, by its steps' names."""
    payload = dict(event.payload)
    if event.type == "PLAN_GENERATED":
        return "; ".join(f"{step['step']} {step['component']}" for step in payload["steps"])
    if event.type == "EXECUTING":
        head = f"{payload.pop('component')} {payload.pop('phase')}"
        if "reasons" in payload:
            return "; ".join(payload["reasons"])
        facts = [f"{name} {_short(value)}" for name, value in payload.items() if name in _SHOWN and value]
        return f"{head}: {', '.join(facts)}" if facts else head
    return ", ".join(f"{name}: {_short(value)}" for name, value in payload.items() if value not in (None, [], {}))


_SHOWN = ("version", "rows", "seconds", "error", "until", "by", "from", "marked")  # of what an attempt tells


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_short(one)}" for name, one in value.items())
    return value if isinstance(value, str) else json.dumps(value, default=str)
