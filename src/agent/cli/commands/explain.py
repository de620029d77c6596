"""`agent explain COMPONENT`: from the cause (a file, a setting, a line of code, a person) to this component."""

from __future__ import annotations

import argparse

from agent.arguments import row_id
from agent.cli.output import emit
from agent.clock import SystemClock
from agent.core.explain import chain
from agent.core.graph import require_known
from agent.core.model import Plan, Skip
from agent.core.plan_json import plan_to_json
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.story import story_of
from agent.execution.survey import Inspector
from agent.execution.workspace import open_workspace

HELP = "Say why a component would run now, or why it ran in a past run, from the first cause on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("component", metavar="COMPONENT", help="such as features")
    parser.add_argument("--run", dest="run_id", type=row_id, metavar="ID", help="a past run, see `agent runs`")


def run(options: argparse.Namespace) -> int:
    """Print one sentence per step of the chain, with the reasons and their old and new values in JSON."""
    name = options.component
    with open_workspace(options.project_dir) as workspace:
        require_known(workspace.specs, [name], where="agent explain")
        if options.run_id is not None:
            story = story_of(workspace.database, options.run_id)
            steps, endings = story.steps, story.endings
        else:
            request = Request(targets=(name,))
            plan = think(workspace, Inspector(workspace), request, now=SystemClock().now()).plan
            steps, endings = {step.component: step for step in plan.steps}, {}
        lines = chain(name, workspace.specs, steps, verb="runs" if options.run_id is None else "ran")
    if name in endings:
        lines.append(endings[name])
    if not lines:
        lines = [f"run {options.run_id} was not about {name}"]
    step = steps.get(name)
    if isinstance(step, Skip) and options.run_id is None:
        lines = [f"{lines[0]}: no new data, code or settings since it last ran"]
    value = {"component": name, "step": None if step is None else type(step).__name__.lower(), "chain": lines}
    value["steps"] = {one["component"]: one for one in plan_to_json(Plan(tuple(steps.values())))}
    emit(options, value, "\n".join(f"{line}." for line in lines))
    return 0
