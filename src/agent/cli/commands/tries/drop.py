"""`agent drop NAME`: forget a try."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.execution.tries.dropping import drop
from agent.execution.workspace import open_database, read_settings

HELP = "Forget a try; its files go with the next gc, results that others use stay."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="see `agent tries`")


def run(options: argparse.Namespace) -> int:
    """Drop it. Busy while it is being computed."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database:
        drop(database, options.name)
    emit(options, {"dropped": options.name}, f"Dropped {options.name}. `agent gc` frees what only it had.")
    return 0
