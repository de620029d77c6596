"""`agent reproduce RELEASE`: recompute a past release and say whether the same comes out."""

from __future__ import annotations

import argparse
import logging

from agent.cli.output import emit
from agent.console import table
from agent.execution.session import git_commit
from agent.execution.upkeep.reproduce import Verdict, reproduce
from agent.execution.workspace import open_workspace

HELP = "Recompute a past release from its recorded inputs and settings; say whether the versions match."

_SHOWN = 5  # changed definitions named of a component


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("release", metavar="RELEASE", help="its name, see `agent state`")


def run(options: argparse.Namespace) -> int:
    """Recompute and compare. Exit code 1 where a version differs or a component could not be recomputed."""
    log = logging.getLogger("tidemill.reproduce")
    with open_workspace(options.project_dir) as workspace:
        release, verdicts = reproduce(
            workspace, options.release, lambda component: log.info("%s: recomputing", component)
        )
        commit = git_commit(workspace.base)
    matches = all(one.outcome in ("same", "taken as recorded") for one in verdicts)
    rows = [(one.component, one.outcome, one.recorded[:8], (one.recomputed or "")[:8], one.note) for one in verdicts]
    lines = [table(rows, ("component", "result", "recorded", "recomputed", "note")), ""]
    lines += [_code_text(one) for one in verdicts if not one.is_code_same]
    if any(not one.is_code_same for one in verdicts) and release.git_commit != commit:
        lines.append(f"The release was made at git commit {release.git_commit}; this is {commit}.")
    lines.append(f"Release {release.name} {'is reproduced' if matches else 'is NOT reproduced'}.")
    value = {"release": release.name, "is_reproduced": matches, "components": verdicts}
    emit(options, value, "\n".join(lines))
    return 0 if matches else 1


def _code_text(one: Verdict) -> str:
    if not one.code_changes:
        return f"The code of {one.component} changed since; which definitions is not on record."
    more = len(one.code_changes) - _SHOWN
    shown = ", ".join(one.code_changes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"The code of {one.component} changed since: {shown}."
