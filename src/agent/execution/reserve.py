"""A little room kept on the volume of a project's home, so that tidying up can begin where there is none left."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.private import FILE_MODE

_NAME = "reserve"
_BYTES = 2 << 20  # the log of a transaction that deletes some thousand rows
_ENOUGH = 8 * _BYTES  # a volume with less room than this is left to others


def keep(home: Path) -> None:
    """Make the reserve where it is missing and the volume has room for it."""
    path = home / _NAME
    with contextlib.suppress(OSError):  # a full volume has none, a read-only one needs none
        if path.exists() or _free(home) < _ENOUGH:
            return
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            for _ in range(_BYTES >> 16):
                os.write(handle, bytes(1 << 16))
        finally:
            os.close(handle)


@contextmanager
def released(home: Path) -> Iterator[None]:
    """Where the volume is full: without the reserve within the block, and with it again after it."""
    if _free(home) < _BYTES:
        with contextlib.suppress(OSError):
            (home / _NAME).unlink(missing_ok=True)
    try:
        yield
    finally:
        keep(home)


def _free(home: Path) -> int:
    try:
        room = os.statvfs(home)
    except OSError:
        return 0
    return room.f_bavail * room.f_frsize
