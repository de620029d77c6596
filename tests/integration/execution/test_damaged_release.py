"""A release whose files were deleted or altered, in its folder, in the lake or in both: the next run fixes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.execution.release import current_name
from agent.execution.upkeep.integrity import examine
from agent.execution.workspace import Workspace
from agent.store.outputs import releases
from tests.tiny import bring_up_to_date, opened, steps, tiny_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The tiny project, run once."""
    folder = tiny_project(tmp_path / "project")
    with opened(folder) as workspace:
        bring_up_to_date(workspace)
    return folder


def current_folder(workspace: Workspace) -> Path:
    return workspace.settings.releases_path / str(current_name(workspace.settings.releases_path))


def test_a_file_missing_from_the_folder_is_put_back(project: Path) -> None:
    with opened(project) as workspace:
        (current_folder(workspace) / "board.txt").unlink()
        assert set(steps(bring_up_to_date(workspace)).values()) == {"skip"}
        assert (current_folder(workspace) / "board.txt").read_bytes() == b"total 6"


def test_a_file_of_another_size_in_the_folder_is_put_back(project: Path) -> None:
    with opened(project) as workspace:
        (current_folder(workspace) / "board.txt").write_bytes(b"total 1000000")
        bring_up_to_date(workspace)
        assert (current_folder(workspace) / "board.txt").read_bytes() == b"total 6"


def test_lake_and_releases_deleted_are_computed_anew(project: Path) -> None:
    with opened(project) as workspace:
        shutil.rmtree(workspace.settings.lake_path)
        shutil.rmtree(workspace.settings.releases_path)
        assert set(steps(bring_up_to_date(workspace)).values()) == {"compute"}
        assert (current_folder(workspace) / "board.txt").read_bytes() == b"total 6"
        assert examine(workspace, deep=False, by="test").findings == ()


def test_a_release_outlives_the_files_that_it_was_first_made_from(project: Path) -> None:
    with opened(project) as workspace:
        next((workspace.settings.lake_path / "board").glob("board.txt*")).write_bytes(b"damaged")
        assert steps(bring_up_to_date(workspace))["board"] == "compute"
        shutil.rmtree(workspace.settings.releases_path)
        assert set(steps(bring_up_to_date(workspace)).values()) == {"skip"}
        assert (current_folder(workspace) / "board.txt").read_bytes() == b"total 6"
        with workspace.database.reading() as connections:
            assert len(releases.list_releases(connections.project, 10)) == 1
