"""`agent diff A B`: how two releases differ."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.console import table
from agent.core.release_diff import change_text, figure_cells
from agent.execution.workspace import open_workspace
from agent.store.comparing import load_comparison

HELP = "Show what changed between two releases and why, then their figures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("before", metavar="A", help="the earlier release, see `agent releases`")
    parser.add_argument("after", metavar="B", help="the later one")


def run(options: argparse.Namespace) -> int:
    """Print causes, then figures."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        found = load_comparison(connections, options.before, options.after)
    parts = [f"{found.headline}."]
    if found.changes:
        parts.append("\n".join(change_text(one) for one in found.changes))
    if found.figures:
        cells = [figure_cells(one) for one in found.figures]
        parts.append(table(cells, ("figure", "A", "B", "difference"), right={1, 2, 3}))
    shown = {"headline": found.headline, "changes": found.changes, "figures": found.figures}
    emit(options, shown, "\n\n".join(parts))
    return 0
