"""`agent plan`: what the next run would do and why; runs nothing."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.clock import SystemClock
from agent.core.explain import plan_lines
from agent.core.plan_json import plan_to_json
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.survey import Inspector
from agent.execution.workspace import open_workspace

HELP = "Show what the next run would compute, why, in which order and how long it may take."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--target", action="append", default=[], help="only this component and what it needs")
    parser.add_argument("--force", action="append", default=[], help="as if this component were to be recomputed")
    parser.add_argument(
        "--if-changed",
        action="append",
        default=[],
        metavar="NAME",
        help="as if this component's output, or source:NAME, had changed",
    )


def run(options: argparse.Namespace) -> int:
    """Print the plan."""
    with open_workspace(options.project_dir) as workspace:
        request = Request(targets=tuple(options.target), force=tuple(options.force))
        thought = think(
            workspace,
            Inspector(workspace),
            request,
            now=SystemClock().now(),
            assume_changed=options.if_changed,
        )
    lines = plan_lines(thought.plan)
    if thought.plan.is_empty:
        lines.append("Nothing would run.")
    if any(line.split()[1].endswith("?") for line in lines if len(line.split()) > 1):
        lines.append("compute? = only if an input really comes out different when the run gets there.")
    emit(options, plan_to_json(thought.plan), "\n".join(lines))
    return 0
