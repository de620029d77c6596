"""`agent rollback RELEASE`: put an earlier release in force."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, moment
from agent.execution.pointer import point_to_current
from agent.execution.workspace import open_workspace
from agent.store.outputs import releases

HELP = "Put an earlier release in force; the next run that publishes something new goes forward again."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("release", metavar="RELEASE", help="its name, see `agent state`")


def run(options: argparse.Namespace) -> int:
    """Make it current: the row first, which is the truth, then the pointer on disk."""
    with open_workspace(options.project_dir) as workspace:
        with workspace.database.writing() as connections:
            before = releases.current_release(connections.project)
            release = releases.make_current(connections.project, options.release)
        point_to_current(workspace)
        where = workspace.settings.releases_path / "current"
    was = f" in place of {before.name}" if before is not None and before.name != release.name else ""
    text = f"{release.name} (as of {moment(release.as_of)} UTC) is current{was}: {where}"
    emit(options, release, text)
    return 0
