"""A volume without a free byte, mounted for the test: what limits on a process do not show, above all SQLite's part."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.torture.world import Nursery, World


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in `folder`; the test is skipped where nothing can be mounted."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tidemill-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"no program to mount with: {error}")
    if done.returncode != 0:
        pytest.skip(f"mounting is forbidden here: {done.stderr.strip()}")
    try:
        yield folder
    finally:  # lazily: a test that failed may have left files open in there, and the folder is to be removed
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The project's .tidemill/, a file system of its own of 8 MB."""
    with mounted(tmp_path / "project" / ".tidemill", 8) as folder:
        yield folder


def fill(ballast: Path, *, free: int) -> None:
    """Take all room but `free` bytes."""
    room = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - free))


def require_nothing_lost(world: World, home: Path, free: int, words: str) -> None:
    """Fill the volume, let two runs fail at it, make room: the next run ends what they could not."""
    world.run()
    before = world.versions()
    (world.folder / "data" / "day009.txt").write_text("1\n" * 1_000_000)
    ballast = home / "ballast"
    fill(ballast, free=free)
    for _ in range(2):  # the second one finds what the first one could not record
        process = world.start_run()
        assert process.wait() in (1, 2), process.said()
        assert words in process.said()
        assert "free disk space" in process.said()
        assert "Traceback" not in process.said()
    assert not list(home.glob("cache/*.json.*"))
    ballast.unlink()
    assert world.versions() == before
    world.run()
    world.require_sound()


@pytest.mark.parametrize("free", [0, 1_000_000])
def test_a_full_lake(home: Path, sqlite_url: str, nursery: Nursery, free: int) -> None:
    world = World(home.parent, sqlite_url, nursery)
    try:
        require_nothing_lost(world, home, free, "cannot write: No space left on device")
    finally:
        world.kill_all()


@pytest.mark.parametrize(
    ("free", "words"),
    [
        (0, "disk I/O error"),  # SQLite cannot make its -shm file
        (100_000, "database or disk is full"),
        (1_000_000, "database or disk is full"),
    ],
)
def test_a_full_lake_and_database(home: Path, sqlite_url: str, nursery: Nursery, free: int, words: str) -> None:
    shutil.copy(sqlite_url.removeprefix("sqlite:///"), home / "state.sqlite")
    world = World(home.parent, f"sqlite:///{home / 'state.sqlite'}", nursery)
    try:
        require_nothing_lost(world, home, free, words)
    finally:
        world.kill_all()
