"""Torture 6: every file and folder is flushed to disk before the commit that refers to it. A kill cannot show that (the
system keeps what was written); a trace of the system calls does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.paths import PROJECT
from tests.torture.world import PLUGINS, World

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: nothing to trace with"),
]
_OPENED = re.compile(r'openat\(.*, "(?P<path>[^"]+)", [A-Z_|]*O_CREAT[^)]*\) = \d+')
_MADE = re.compile(r'mkdir\("(?P<path>[^"]+)".* = 0')
_FLUSHED = re.compile(r"(?:fsync|fdatasync)\(\d+<(?P<path>[^>]+)>")
_MOVED = re.compile(r'rename\("(?P<old>[^"]+)", "(?P<new>[^"]+)"')
_POINT = re.compile(r'write\(\d+<[^>]*>, "(?P<name>[a-z_.]+)\\n"')


def test_all_is_flushed_before_the_commit(world: World, is_long: bool, figures: Counter[str]) -> None:
    if not is_long and not world.url.startswith("sqlite"):
        pytest.skip("the bounded form traces one database: files are written the same way with either")
    trace, log = world.folder / "trace", world.folder / "points"
    command = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-o",
        str(trace),
        "-e",
        "trace=openat,mkdir,rename,fsync,fdatasync,write",
    ]
    fault = {"point": "", "nth": 0, "do": "note", "log": str(log)}
    subprocess.run(
        [*command, sys.executable, "-m", "agent.orchestrator", "--target", "bulletin"],
        cwd=world.folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "src", PLUGINS))),
            "TIDE_FAULT": json.dumps(fault),
        },
        check=True,
        capture_output=True,
    )
    home = world.folder.resolve() / ".tidemill"
    unflushed: set[str] = set()
    made = commits = 0
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        if " = -1 " in line:
            continue
        if found := _FLUSHED.search(line):
            unflushed.discard(found["path"])
        elif found := _MOVED.search(line):  # what was flushed under its old name stays so; the entry is new
            unflushed = {path.replace(found["old"], found["new"], 1) for path in unflushed}
            unflushed |= {str(Path(found["new"]).parent)} if _counts(Path(found["new"]), home) else set()
        elif found := _POINT.search(line):
            if found["name"] == "commit.beginning":
                commits += 1
                assert not unflushed, f"commit {commits} refers to what is not flushed: {unflushed}"
        elif found := _OPENED.search(line) or _MADE.search(line):
            path = Path(found["path"])
            if _counts(path, home):
                made += 1
                unflushed |= {str(path), str(path.parent)}
    assert commits == 4
    assert made >= 12
    figures["6 files and folders seen flushed before their commit"] += made


def _counts(path: Path, home: Path) -> bool:
    """Whether the path is of the lake or the releases; the pointer follows the commit."""
    return any(path.is_relative_to(home / room) for room in ("lake", "releases")) and ".current" not in path.name
