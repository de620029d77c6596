"""The pointer to the release in force: brought into step with its row at the start of a run and after each release."""

from __future__ import annotations

import logging

from agent.execution.release import current_name, has_files, point_to, write_release
from agent.execution.workspace import Workspace
from agent.store.outputs import catalog, releases
from pipelines.errors import LakeError
from pipelines.private import make_folder

logger = logging.getLogger("tidemill.commit")


def repair_current(workspace: Workspace) -> None:
    """As `point_to_current`, where a run must go on even if the release's files are damaged: publish may compute them
    again in this very run."""
    try:
        point_to_current(workspace)
    except LakeError as error:
        logger.warning(
            "the current release cannot be written to disk: %s; `agent rollback RELEASE` puts another in force, "
            "`agent restore` brings back a backup, unless publish computes it again now",
            error.what,
        )


def point_to_current(workspace: Workspace) -> None:
    """Make the pointer on disk agree with the row; write the folder again where it or a file of it is not there.

    Raises LakeError where the lake has not got the release's files either.
    """
    name = None
    while True:  # another process may put a newer release in force meanwhile: the pointer must not fall behind it
        with workspace.database.reading() as connections:
            row = releases.current_release(connections.project)
            if row is None or row.name == name:
                return
            folder = workspace.settings.releases_path / row.name
            facts = catalog.file_facts(connections.project, [row.snapshot_id])[row.snapshot_id]
            sizes = {fact.key: fact.size for fact in facts}
            snapshot = None if has_files(folder, sizes) else catalog.load_snapshot(connections.project, row.snapshot_id)
        if snapshot is None and current_name(workspace.settings.releases_path) == row.name:
            return
        if snapshot is not None:
            make_folder(workspace.settings.releases_path)
            write_release(workspace.lake, snapshot, workspace.settings.releases_path, row.name)
        point_to(workspace.settings.releases_path, row.name)
        name = row.name
