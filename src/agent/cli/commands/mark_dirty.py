"""`agent mark-dirty`: a person asks for a recompute of a component, or of one of its partitions."""

from __future__ import annotations

import argparse
import difflib

from agent.cli.output import emit, user_name
from agent.core.explain import mark_text
from agent.core.model import Mark
from agent.errors import NotFound, UsageError
from agent.execution.workspace import Workspace, open_workspace
from agent.store import state
from agent.store.outputs import catalog

HELP = "Ask for a recompute of a component, or of one partition of it, at the next run."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", metavar="COMPONENT[:PARTITION]", help="such as features, or ticks:2013")
    parser.add_argument("--reason", default="", help="why, for those who read the state later")


def run(options: argparse.Namespace) -> int:
    """Set the mark, with the name of the person who asked."""
    component, colon, key = options.what.partition(":")
    if colon and not key:
        raise UsageError(
            f"{options.what!r} names no partition",
            where="agent mark-dirty",
            fix=f"name one behind the colon, or write {component} for all of it",
        )
    who = user_name()
    mark = Mark(who, reason=options.reason, partitions=(key,) if key else None)
    reason = mark_text(who, options.reason)
    with open_workspace(options.project_dir) as workspace:
        if key:
            _require_partition(workspace, component, key)
        with workspace.database.writing() as connections:
            state.mark_dirty(connections.project, component, mark)
    what = f"partition {key} of {component}" if key else component
    value = {"component": component, "partition": key or None, "reason": reason}
    emit(options, value, f"{what} is marked ({reason}); the next run recomputes it")
    return 0


def _require_partition(workspace: Workspace, component: str, key: str) -> None:
    with workspace.database.reading() as connections:
        found = state.load_states(connections.project).get(component)
        if found is None or found.output_snapshot_id is None:
            return  # an unknown component is refused by the mark itself; one without output runs whole in any case
        facts = catalog.file_facts(connections.project, [found.output_snapshot_id])[found.output_snapshot_id]
        keys = [fact.key for fact in facts if not fact.key.startswith(".")]  # memos are nobody's to mark
    if key not in keys:
        near = difflib.get_close_matches(key, keys, n=3, cutoff=0.3) or keys[-3:]
        raise NotFound(
            f"{component} has no partition {key!r}",
            where=f"its output of {len(keys)} partitions",
            fix=f"it has, among others: {', '.join(near)}",
        )
