"""A process that runs for weeks: no file, no thread and no child stays behind a run."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil
import pytest

from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.service import projects
from agent.settings import load
from agent.store.database.engine import Database, open_engine

pytestmark = pytest.mark.from_nothing

NOTHING = '''"""A component that does nothing."""

from pipelines.component import component


@component(name="nothing")
def nothing(ctx, settings):
    pass
'''


@pytest.mark.parametrize(("kind", "runs"), [("inline", 8), ("processes", 3)])
def test_runs_leave_nothing_open(tmp_path: Path, sqlite_url: str, kind: str, runs: int) -> None:
    """Opened for each run as a server does, beside a database that stays open."""
    (tmp_path / "nothing.py").write_text(NOTHING, encoding="utf-8")
    (tmp_path / "agent.toml").write_text(
        f"[project]\nmodules = ['nothing.py']\n[executor]\nkind = '{kind}'\n[database]\nurl = '{sqlite_url}'\n",
        encoding="utf-8",
    )
    settings, own = load(tmp_path, {}), open_engine(sqlite_url)
    database = Database(control=own, project=own)

    def run() -> None:
        with projects.open_project(settings, database, 0) as workspace:
            report = perform(workspace, Request(targets=("nothing",), force=("nothing",)))
            assert report.status == "COMPLETED", report.error

    def held() -> tuple[list[str], list[str], int]:
        files = [_target(number) for number in os.listdir("/proc/self/fd")]
        threads = sorted(thread.name for thread in threading.enumerate())
        return sorted(files), threads, len(psutil.Process().children())

    run()  # what the first one opens for good: libraries, the project's warm process
    before = held()
    for _ in range(runs):
        run()
    assert held() == before
    database.close()


def _target(number: str) -> str:
    """What a file descriptor is; the one that listed the folder is gone by now."""
    try:
        found = os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return ""
    return found.partition(":[")[0]  # a pipe's or socket's number says nothing
