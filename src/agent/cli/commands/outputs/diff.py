"""`agent diff A B`: how two releases differ."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.console import table
from agent.core.release_diff import change_text, changes, figure_cells, figures
from agent.execution.workspace import open_workspace
from agent.store.outputs import releases

HELP = "Show what changed between two releases and why, then their figures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("before", metavar="A", help="the earlier release, see `agent releases`")
    parser.add_argument("after", metavar="B", help="the later one")


def run(options: argparse.Namespace) -> int:
    """Print causes, then figures."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        before, after = (releases.load_release(connections.project, name) for name in (options.before, options.after))
        settings = releases.settings_behind(connections.project, before, after)
    found, scores = changes(before.versions, after.versions, settings), figures(before.metrics, after.metrics)
    parts = ["\n".join(change_text(one) for one in found) or "Nothing behind them differs."]
    if scores:
        parts.append(table([figure_cells(one) for one in scores], ("figure", "A", "B"), right={1, 2}))
    emit(options, {"changes": found, "figures": scores}, "\n\n".join(parts))
    return 0
