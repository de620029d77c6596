"""A source with a limit of age: what its probe cannot see is found all the same, and what is the same is cut off."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from agent.core.model import Code, Compute
from agent.execution.engine import Report
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import open_workspace
from tests.small import small_project
from tests.tiny import steps


def run(folder: Path) -> Report:
    with open_workspace(folder) as workspace:
        return perform(workspace, Request(targets=("ticks",)))


def grow_old(folder: Path, hours: int) -> None:
    """Let the last successes lie `hours` further back."""
    with closing(sqlite3.connect(folder / ".tidemill" / "state.sqlite")) as connection, connection:
        connection.execute(f"UPDATE orchestrator_state SET last_run_at = datetime(last_run_at, '-{hours} hours')")


def change_unseen(path: Path) -> None:
    """Other prices, the same size and time of change."""
    before = path.stat()
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(",100.", ",101.", 1), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def versions(report: Report) -> dict[str, str | None]:
    return {one.component: one.version for one in report.components}


def test_files_are_read_again_when_the_last_success_lies_too_far_back(tmp_path: Path) -> None:
    folder = small_project(tmp_path, days=3)
    toml = folder / "agent.toml"
    first = run(folder)
    old = toml.read_text(encoding="utf-8")
    toml.write_text(old + "[sources.files]\nmax_age_hours = 5\n", encoding="utf-8")
    assert set(steps(run(folder)).values()) == {"skip"}, "the limit says when to compute, not what"

    grow_old(folder, 6)
    report = run(folder)
    for one in report.components:
        assert isinstance(one.step, Compute)
        assert [reason.code for reason in one.step.reasons] == [Code.TOO_OLD]
    assert all(one.is_cut_off for one in report.components)
    assert versions(report) == versions(first)
    assert set(steps(run(folder)).values()) == {"skip"}

    change_unseen(folder / "data" / "ABC.csv")
    assert set(steps(run(folder)).values()) == {"skip"}
    grow_old(folder, 6)
    report = run(folder)
    assert [one.component for one in report.components if not one.is_cut_off] == ["ticks"]
    assert versions(report)["ticks"] != versions(first)["ticks"]
