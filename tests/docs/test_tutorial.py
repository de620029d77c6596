"""The tutorial, block by block: files are written as shown, commands print what is shown, code runs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.paths import PROJECT
from tests.terminal import Terminal

TUTORIAL = PROJECT / "docs" / "tutorial" / "own-feature-and-component.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_of_the_tutorial_works(tmp_path: Path, terminal: Terminal) -> None:
    counts = {"file": 0, "console": 0, "run": 0}
    for language, info, body in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if info.startswith("file="):
            (tmp_path / info.removeprefix("file=")).write_text(body, encoding="utf-8")
            counts["file"] += 1
        elif language == "console":
            command, _, shown = body.partition("\n")
            words = command.removeprefix("$ ").split()
            assert words[0] == "python"
            assert terminal.run(*words) == shown
            counts["console"] += 1
        elif info == "run":
            terminal.run("python", "-c", body)
            counts["run"] += 1
    assert counts == {"file": 4, "console": 1, "run": 1}
