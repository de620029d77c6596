"""The tutorial, block by block: files are written as shown, commands print what is shown, code runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.paths import PROJECT

TUTORIAL = PROJECT / "docs" / "tutorial" / "own-feature-and-component.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_of_the_tutorial_works(tmp_path: Path) -> None:
    counts = {"file": 0, "console": 0, "run": 0}
    for language, info, body in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if info.startswith("file="):
            (tmp_path / info.removeprefix("file=")).write_text(body, encoding="utf-8")
            counts["file"] += 1
        elif language == "console":
            command, _, shown = body.partition("\n")
            words = command.removeprefix("$ ").split()
            assert words[0] == "python"
            assert run([sys.executable, *words[1:]], tmp_path) == shown
            counts["console"] += 1
        elif info == "run":
            run([sys.executable, "-c", body], tmp_path)
            counts["run"] += 1
    assert counts == {"file": 4, "console": 1, "run": 1}
