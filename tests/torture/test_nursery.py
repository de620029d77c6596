"""The processes of the tests themselves: one that is killed as it begins takes nobody along."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import Nursery

pytestmark = pytest.mark.torture


def test_a_process_may_be_killed_the_moment_it_is_there(tmp_path: Path, nursery: Nursery) -> None:
    for number in range(60):
        process = nursery.start(tmp_path, "orchestrator", ("--help",), tmp_path / f"{number}.txt")
        process.kill()
        assert process.wait() in (0, -9)
        process.kill()  # its number may be another's by now
    last = nursery.start(tmp_path, "orchestrator", ("--help",), tmp_path / "last.txt")
    assert last.wait() == 0
