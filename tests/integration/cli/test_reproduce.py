"""`agent reproduce`: a release is made again from what it was made of, or it says what has changed since."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from agent.store.database import migrations
from tests.integration.cli.conftest import Typed
from tests.tiny import opened, run


def test_reproduce_names_the_code_that_changed_since(project: Path, agent: Typed) -> None:
    name = agent.json("state")["current_release"]["name"]
    assert f"Release {name} is reproduced." in agent("reproduce", name)
    path = project / "tiny.py"
    path.write_text(path.read_text(encoding="utf-8").replace('b"total " +', 'b"sum " +'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "agent", "reproduce", name, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert [(one["component"], one["outcome"]) for one in found["components"]] == [
        ("numbers", "same"),
        ("total", "same"),
        ("board", "different"),
    ]
    assert found["components"][2]["code_changes"][0].endswith("tiny:board")


def test_a_release_of_before_snapshots_shared_rows_is_reproduced(project: Path, agent: Typed) -> None:
    """Of two runs, so that some rows of the first one's snapshots were replaced when the second one was recorded."""
    name = agent.json("state")["current_release"]["name"]
    run(project, (1, 2, 7))
    with opened(project) as workspace:
        migrations.downgrade(workspace.database.project, "0006")
    found = agent.json("reproduce", name)
    assert {one["component"]: one["outcome"] for one in found["components"]} == dict.fromkeys(
        ("numbers", "total", "board"), "same"
    )
    assert all(one["recomputed"] == one["recorded"] for one in found["components"])
