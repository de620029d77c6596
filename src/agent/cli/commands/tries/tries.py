"""`agent tries`: what is tried beside production."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.console import table
from agent.execution.tries.change import flat
from agent.execution.workspace import open_database, read_settings
from agent.store.outputs import tries

HELP = "List the tries, newest first."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(options: argparse.Namespace) -> int:
    """Print one row per try."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database, database.reading() as connections:
        found = tries.every(connections.project)
    rows = [
        (one.name, f"{one.created_at:%Y-%m-%d %H:%M}", ", ".join(f"{key}={value}" for key, value in _set(one).items()))
        for one in found
    ]
    emit(
        options,
        found,
        table(rows, ("try", "begun (UTC)", "sets")) if rows else "There is no try yet: `agent try --help`",
    )
    return 0


def _set(one: tries.Try) -> dict[str, object]:
    return flat(one.settings) if one.code is None else {**flat(one.settings), "code": one.code}
