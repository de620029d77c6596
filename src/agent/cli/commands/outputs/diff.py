"""`agent diff A B`: how two releases, or a try and a release, differ."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.console import table
from agent.core.answers import plain
from agent.core.morning_text import moved_lines
from agent.core.release_diff import change_text, figure_cells, pair_cells
from agent.execution.tries.comparing import Against, load_against
from agent.execution.tries.cost_text import cost_lines
from agent.execution.workspace import open_database, read_settings
from pipelines.lake import Lake

HELP = "Show what differs between two releases or tries and why, then their figures, decisions and cost."
_DECISIONS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "before", metavar="A", help="the earlier release, see `agent releases`; or a try, see `agent tries`"
    )
    parser.add_argument("after", metavar="B", help="the later one; current is the release in force")


def run(options: argparse.Namespace) -> int:
    """Print causes, then figures, decisions and, for a try, what it cost."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database, database.reading() as connections:
        found = load_against(connections, Lake(settings.lake_path), options.before, options.after)
    one = found.comparison
    shown = {
        "before": one.before.name,
        "after": one.after.name,
        "headline": one.headline,
        "changes": one.changes,
        "figures": one.figures,
        "versions": found.versions,
        "code": found.definitions,
        "pairs": {name: interval.to_json() for name, interval in found.pairs.items()},
        "decisions": {"moved": one.since.moved, "new": one.since.new, "gone": one.since.gone},
        "costs": found.costs,
    }
    emit(options, shown, "\n\n".join(_parts(found)))
    return 0


def _parts(found: Against) -> list[str]:
    one = found.comparison
    parts = [f"{one.headline}."]
    if one.changes:
        parts.append("\n".join(change_text(change) for change in one.changes))
    if found.definitions:
        parts.append("\n".join(f"{name}: {', '.join(changed)}" for name, changed in found.definitions.items()))
    if one.figures:
        cells = [figure_cells(figure) for figure in one.figures]
        parts.append(table(cells, ("figure", one.before.name, one.after.name, "difference"), right={1, 2, 3}))
    if found.pairs:
        cells_of_pairs = [pair_cells(name, each.value, each.low, each.high) for name, each in found.pairs.items()]
        parts.append(table(cells_of_pairs, ("on the same rows", "difference", "95 % interval"), right={1, 2}))
    if one.since.moved:
        parts.append("\n".join(plain(line) for line in moved_lines(one.since, _DECISIONS)))
    for name, cost in found.costs.items():
        parts.append("\n".join([f"What try {name} took:", *cost_lines(cost)]))
    return parts
