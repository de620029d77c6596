"""`agent releases`: what was published, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.arguments import rows
from agent.cli.output import emit, moment
from agent.console import table
from agent.execution.workspace import open_workspace
from agent.store.outputs import releases

HELP = "List releases, newest first, with their assessment."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--limit", type=rows, default=20, help="at most so many (20)")


def run(options: argparse.Namespace) -> int:
    """Print them."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        found = releases.list_releases(connections.project, limit=options.limit)
    rows = [
        (
            one.name,
            "current" if one.is_current else "",
            moment(one.as_of),
            moment(one.created_at),
            str(_part(one.metrics, "assessment").get("verdict") or "-"),
            _figure(_part(one.metrics, "model").get("brier")),
        )
        for one in found
    ]
    headings = ("release", "", "as of (UTC)", "published (UTC)", "assessment", "Brier")
    emit(options, found, table(rows, headings, right={5}) if rows else "No release yet: `agent run` makes one.")
    return 0


def _part(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of metrics.json; empty where a release has none."""
    part = metrics.get(name)
    return part if isinstance(part, Mapping) else {}


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-"
