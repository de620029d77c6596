"""The one process that appends to an inbox. What `flush` has returned for is on disk.

`sys.audit("tidemill.point", NAME)` names places where a crash leaves something half done, as in pipelines.lake.
"""

from __future__ import annotations

import fcntl
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pipelines.errors import LakeError
from pipelines.inbox.pages import NAME, PART_BYTES, SEALED_MODE, Header, Inbox, pack
from pipelines.lake import fsync_folder
from pipelines.private import FILE_MODE, make_folder

SEAL_BYTES = 16 << 20  # a file that has grown to this is sealed
BULK_BYTES = PART_BYTES // 4  # so much of one pass is a backfill: what comes bit by bit begins another file


class Writer:
    """The one process that appends to the inbox of a source. Pages are on disk when `flush` has returned.

    Whoever makes one holds the lease on the source; on this machine a locked file sees to it too, for a process that
    slept while another took the lease. Opening cuts off torn tails. Raises LakeError where another one is open here.
    """

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self._lock = _locked(inbox.folder)
        self._open: dict[str, IO[bytes]] = {}
        self._waiting: dict[str, list[tuple[bytes, bytes]]] = {}
        self.waiting_bytes = 0
        self._written: dict[str, int] = {}  # bytes by kind
        for kind in inbox.kinds():
            self._mend(kind)

    def append(self, kind: str, header: Header, body: bytes) -> None:
        """Take a page; it is written at the next `flush`."""
        frame = pack(header, body)
        self._waiting.setdefault(kind, []).append(frame)
        self.waiting_bytes += sum(map(len, frame))

    def flush(self, now: datetime) -> list[tuple[str, str, int]]:
        """Write what waits and see to it that it is on disk; returns kind, name and length of the files that grew.
        Raises LakeError where it cannot be."""
        waiting, self._waiting, self.waiting_bytes = self._waiting, {}, 0
        return [(kind, *self._write(kind, frames, now)) for kind, frames in waiting.items()]

    def seal(self, kind: str) -> None:
        """End the file of a kind that is open: the next page begins another one."""
        file = self._open.pop(kind, None)
        if file is None:
            return
        os.fchmod(file.fileno(), SEALED_MODE)
        os.fsync(file.fileno())
        file.close()
        sys.audit("tidemill.point", "inbox.file.sealed")

    def seal_backfill(self) -> None:
        """End the files that grew by a backfill. A part of an open file is read again with each page that follows, and
        a backfill's rows with it."""
        for kind in [kind for kind, size in self._written.items() if size >= BULK_BYTES]:
            self.seal(kind)

    def close(self) -> None:
        """Leave the files as they are, for whoever comes next."""
        for file in self._open.values():
            file.close()
        self._open.clear()
        self._lock.close()

    def _write(self, kind: str, frames: list[tuple[bytes, bytes]], now: datetime) -> tuple[str, int]:
        try:
            file = self._file(kind, now)
            start = file.seek(0, os.SEEK_END)
            try:
                for head, packed in frames:
                    _write_all(file, head)
                    sys.audit("tidemill.point", "inbox.frame.half")
                    _write_all(file, packed)
                sys.audit("tidemill.point", "inbox.group.written")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)  # nothing is ever written behind half a frame
                raise
            sys.audit("tidemill.point", "inbox.group.flushed")
            end = file.tell()
            self._written[kind] = self._written.get(kind, 0) + end - start
            if end >= SEAL_BYTES:
                self.seal(kind)
            return Path(file.name).name, end
        except OSError as error:
            raise LakeError(
                f"cannot write to the inbox: {error.strerror or error}",
                where=str(self.inbox.folder / kind),
                fix="free some space, or check its permissions; what was collected before is safe",
            ) from error

    def _file(self, kind: str, now: datetime) -> IO[bytes]:
        """The file to append to: of today, and never of a day before the newest one."""
        file = self._open.get(kind)
        day = now.astimezone(UTC).strftime("%Y-%m-%d")
        if file is not None and Path(file.name).name[: len(day)] >= day:
            return file
        self.seal(kind)
        folder = self.inbox.folder / kind
        make_folder(folder)
        newest = next(reversed(self.inbox.files(kind)), None)
        day_before, number = ("", 0) if newest is None else _numbered(newest.name)
        if newest is not None and not newest.is_sealed and day_before >= day:
            path = newest.path
        else:
            self._mend(kind, is_over=True)
            path = folder / (f"{day}.0001.log" if day > day_before else f"{day_before}.{number + 1:04}.log")
        file = self._open[kind] = _append_to(path)
        fsync_folder(folder)
        sys.audit("tidemill.point", "inbox.file.made")
        return file

    def _mend(self, kind: str, *, is_over: bool = False) -> None:
        """Cut off what a killed writer left half done, and seal all files but the newest; that too if it `is_over`."""
        found = self.inbox.files(kind)
        for one in [one for one in found if not one.is_sealed]:
            with _append_to(one.path) as file:
                if file.seek(0, os.SEEK_END) > one.length:
                    file.truncate(one.length)
                    sys.audit("tidemill.point", "inbox.tail.cut")
                if is_over or one is not found[-1]:
                    os.fchmod(file.fileno(), SEALED_MODE)
                os.fsync(file.fileno())


def _locked(folder: Path) -> IO[bytes]:
    """An open file that no other process here has locked; the lock ends with it, or with the process."""
    try:
        make_folder(folder)
        file = _append_to(folder / ".writer")
    except OSError as error:
        raise LakeError(
            f"cannot write to the inbox: {error.strerror or error}", where=str(folder), fix="check its permissions"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise LakeError(
            "another process writes to the inbox", where=str(folder), fix="wait for its end, or stop it"
        ) from None
    return file


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take a part of it."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _append_to(path: Path) -> IO[bytes]:
    return open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, FILE_MODE))


def _numbered(name: str) -> tuple[str, int]:
    found = NAME.fullmatch(name)
    assert found is not None
    return found[1], int(found[2])
