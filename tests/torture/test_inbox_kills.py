"""Killed at every point of the inbox: what was flushed is there, nothing is there twice, and work goes on.

The points are those that the source names, each as often as it is passed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.inbox import writer as writing
from pipelines.inbox.compaction import compact
from pipelines.inbox.pages import Header, Inbox
from pipelines.inbox.writer import Writer
from tests.torture.faults import EVENT, points_in_source

pytestmark = pytest.mark.torture
PAGES = [f"page {number} ".encode() * 40 for number in range(12)]
NOW = datetime(2026, 11, 26, 22, tzinfo=UTC)


def collect(folder: Path) -> None:
    """Write the pages that are missing, one or three to a flush, over two days, in files that are full after some,
    and end the last one; join the files of the first day."""
    writing.SEAL_BYTES, writing.BULK_BYTES = 250, 50
    inbox = Inbox(folder)
    writer = Writer(inbox)
    at = len(list(inbox.headers("bars", {})))
    while at < len(PAGES):
        count = 3 if at % 2 else 1
        now = NOW + timedelta(minutes=15 * at)
        for number in range(at, min(at + count, len(PAGES))):
            writer.append("bars", Header("s", str(number), now, token=1), PAGES[number])
        writer.flush(now)
        at += count
    writer.seal_backfill()
    writer.close()
    compact(inbox, "bars", before="2026-11-27")


def in_child(folder: Path, hook: Callable[[str], None]) -> int:
    """Collect in a process of its own with `hook` at each point; returns how it ended."""
    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(lambda event, arguments: hook(str(arguments[0])) if event == EVENT else None)
            collect(folder)
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def half_written(folder: Path) -> None:
    """As a kill in the middle of a frame leaves it, so that cutting it off is passed too."""
    writer = Writer(Inbox(folder))
    writer.append("bars", Header("s", "0", NOW, token=1), PAGES[0])
    writer.flush(NOW)
    writer.close()
    with (folder / "bars/2026-11-26.0001.log").open("ab") as file:
        file.write(b"\0\0\0\1half")


def passed(folder: Path) -> Counter[str]:
    """How often each point is passed by an undisturbed writer."""
    log = folder.parent / "points"
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    half_written(folder)
    assert in_child(folder, lambda name: os.write(handle, f"{name}\n".encode()) and None) == 0
    os.close(handle)
    return Counter(log.read_text().splitlines())


def test_killed_at_every_point_nothing_flushed_is_lost_and_nothing_is_twice(
    tmp_path: Path, figures: Counter[str]
) -> None:
    points = passed(tmp_path / "undisturbed")
    mine = {name for name in points_in_source() if name.startswith("inbox.")}
    assert set(points) == mine
    whole = Inbox(tmp_path / "undisturbed")
    assert [frame.body() for frame in whole.frames("bars")] == PAGES
    for point, times in points.items():
        for nth in range(1, times + 1):
            folder = tmp_path / f"{point} {nth}"
            half_written(folder)
            left = [nth]

            def kill(name: str, point: str = point, left: list[int] = left) -> None:
                left[0] -= name == point
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            assert in_child(folder, kill) == -signal.SIGKILL, (point, nth)
            found = Inbox(folder)
            kept = [frame.body() for frame in found.frames("bars")]
            assert kept == PAGES[: len(kept)], (point, nth)
            parts = {name: [frame.packed for frame in found.part(name)] for name in found.parts()}
            assert in_child(folder, lambda name: None) == 0
            after = Inbox(folder)
            assert [frame.body() for frame in after.frames("bars")] == PAGES, (point, nth)
            for name, packed in parts.items():
                assert [frame.packed for frame in after.part(name)][: len(packed)] == packed, (point, nth, name)
            figures["1 inbox: killed at a point and recovered"] += 1
