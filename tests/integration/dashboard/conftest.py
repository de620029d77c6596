"""The dashboard's view of a project in which the sample was published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.execution.workspace import open_workspace
from tests.served import copy_home

if TYPE_CHECKING:
    from dashboard.data import Session


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Session]:
    from dashboard.data import Session

    (tmp_path / "secret.txt").write_text("the password", encoding="utf-8")
    with open_workspace(copy_home(tmp_path_factory, tmp_path)) as workspace:
        yield Session(workspace, str(tmp_path))
