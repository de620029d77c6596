"""One thread of a server forgets changed code while the run of another still computes with what it had loaded."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.core.events import Event, Progress, Started
from pipelines.discovery import forget_changed
from tests.tiny import bring_up_to_date, opened, steps, tiny_project


def test_a_run_goes_on_with_a_child_process_while_its_modules_are_forgotten(tmp_path: Path, sqlite_url: str) -> None:
    folder, forgotten = tiny_project(tmp_path, url=sqlite_url), list[str]()
    toml = folder / "agent.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("inline", "processes"), encoding="utf-8")

    def change_and_open() -> None:
        """What another run of the server does at its start, after an edit."""
        os.utime(folder / "tiny.py", ns=(1, 1))
        forgotten.extend(forget_changed())
        with opened(folder):  # loads them anew
            pass

    def watch(event: Event | Progress) -> None:
        if isinstance(event, Started) and event.component == "numbers":
            with ThreadPoolExecutor(1) as threads:
                threads.submit(change_and_open).result(60)

    forget_changed()
    with opened(folder) as workspace:
        assert forget_changed() == ()  # it notes what was loaded
        report = bring_up_to_date(workspace, isolate=True, watchers=(watch,))
    assert [name for name in forgotten if name.endswith(".tiny")]
    assert [one.error for one in report.components] == [None] * 3
    assert steps(report) == dict.fromkeys(("numbers", "total", "board"), "compute")
