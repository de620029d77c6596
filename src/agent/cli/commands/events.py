"""`agent events RUN`: what a run reported while it went."""

from __future__ import annotations

import argparse

from agent.arguments import row_id
from agent.cli.output import emit, moment
from agent.console import table
from agent.core.explain import event_sentence
from agent.execution.workspace import open_workspace
from agent.store.control import events, runs

HELP = "Show the events of a run, in order."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_id", metavar="RUN", type=row_id, help="number of the run, see `agent runs`")


def run(options: argparse.Namespace) -> int:
    """Print the events."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        runs.load_run(connections.control, options.run_id)
        found = events.load_events(connections.control, options.run_id)
    rows = [(str(one.seq), moment(one.created_at), one.type, event_sentence(one.event)) for one in found]
    text = table(rows, ("seq", "at (UTC)", "event", "what"), right={0}) if rows else "This run has no events yet."
    emit(options, found, text)
    return 0
