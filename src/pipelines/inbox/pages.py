"""The inbox: replies of a remote source as they came, in append-only files, `inbox/SOURCE/KIND/2026-11-26.0003.log`.

A file is a row of frames: lengths, checksum, header, body (zstd). The place to go on from lies in the header, so that
data and place are one write: a kill loses at most what was not flushed, and a torn tail is cut off at the next opening.
One process writes; anyone may read. Sealed files (mode 0400) never change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.errors import LakeError
from pipelines.values import dataclass

PART_BYTES = 1 << 20  # frames that begin within so many bytes are one part
SEALED_MODE = 0o400
SUFFIX, JOINED_SUFFIX = ".log", ".joined"
HEAD = struct.Struct(">II8s")  # length of header and of body, checksum
_MOST_BYTES = 1 << 30  # a length above this is no length
NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{4,})\.log")


@dataclass(frozen=True)
class Header:
    """What is known of a page beside its body.

    cursor: where its walk goes on, "" where it was the last. asked_at: by our clock. server_at: by the venue's, where
    it says. token: of the lease it was written under. low, high: the span that is known with it. is_provisional: rows
    of a websocket, which a reply over their span replaces. rows: how many were taken from it then. size: of the body.
    """

    stream: str
    cursor: str
    asked_at: datetime
    token: int
    low: datetime | None = None
    high: datetime | None = None
    is_provisional: bool = False
    rows: int = 0
    server_at: datetime | None = None
    size: int = 0

    def dump(self) -> bytes:
        """As JSON."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return json.dumps(values, default=datetime.isoformat, separators=(",", ":")).encode()

    @classmethod
    def load(cls, text: bytes) -> Header:
        """The reverse of `dump`; fields of later versions are left out."""
        found: dict[str, Any] = {name: one for name, one in json.loads(text).items() if name in _FIELDS}
        for name in ("asked_at", "server_at", "low", "high"):
            if found.get(name) is not None:
                found[name] = datetime.fromisoformat(found[name])
        return cls(**found)


_FIELDS = frozenset(Header.__dataclass_fields__)


@dataclass(frozen=True)
class Frame:
    """A page as it lies in a file: where it begins there, its header and its packed body, and the checksum of both."""

    start: int
    header: Header
    packed: bytes
    checksum: bytes

    def body(self) -> bytes:
        """The reply as it came."""
        import pyarrow as pa

        return bytes(pa.decompress(self.packed, decompressed_size=self.header.size, codec="zstd", asbytes=True))


@dataclass(frozen=True)
class LogFile:
    """A file of a kind, or its place within a joined one: `name` orders all by arrival."""

    name: str
    path: Path
    offset: int
    length: int
    is_sealed: bool

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """Bytes from `start` on. Raises LakeError where the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + start)
                return file.read(self.length - start if length is None else length)
        except OSError as error:
            raise LakeError(
                f"a file of the inbox cannot be read: {error.strerror}",
                where=str(self.path),
                fix="put it back from a backup (`agent restore`), or check its permissions",
            ) from error


def pack(header: Header, body: bytes) -> tuple[bytes, bytes]:
    """The two pieces of a frame: lengths, checksum and header; and the body, packed."""
    import pyarrow as pa

    packed = pa.compress(body, codec="zstd", asbytes=True)
    text = replace(header, size=len(body)).dump()
    return HEAD.pack(len(text), len(packed), checksum(text, packed)) + text, packed


def checksum(text: bytes, packed: bytes) -> bytes:
    """Over both pieces of a frame and their lengths."""
    hasher = hashlib.blake2b(struct.pack(">II", len(text), len(packed)), digest_size=8)
    hasher.update(text)
    hasher.update(packed)
    return hasher.digest()


def spans_of(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Start of each whole frame of `data`, of its body, and its end; stops before a torn or damaged one."""
    at = 0
    while at + HEAD.size <= len(data):
        text, packed, expected = HEAD.unpack_from(data, at)
        body = at + HEAD.size + text
        end = body + packed
        if not text or max(text, packed) > _MOST_BYTES or end > len(data):
            return
        if checksum(data[at + HEAD.size : body], data[body:end]) != expected:
            return
        yield at, body, end
        at = end


def valid_length(data: bytes) -> int:
    """How many bytes at the start of `data` are whole frames."""
    return max((end for _, _, end in spans_of(data)), default=0)


class Inbox:
    """The pages of one source, in `folder` (inbox/SOURCE)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open_lengths: dict[Path, tuple[tuple[int, int], int]] = {}  # of files that are not sealed: stat -> valid
        self._last: tuple[LogFile, list[Frame]] | None = None  # parts of one file are read one after the other

    def kinds(self) -> list[str]:
        """Kinds of streams that there are pages of."""
        try:
            return sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        except OSError:
            return []

    def files(self, kind: str) -> list[LogFile]:
        """The files of a kind in the order their pages came. Only a file that is not sealed is looked into.

        Raises LakeError for a joined file that is damaged.
        """
        folder = self.folder / kind
        try:
            entries = [(entry.name, Path(entry.path), entry.stat()) for entry in os.scandir(folder)]
        except OSError:
            return []
        found: dict[str, LogFile] = {}
        for name, path, _ in entries:
            if name.endswith(JOINED_SUFFIX):
                found |= {one.name: one for one in _joined(path)}
        for name, path, stat in entries:
            if NAME.fullmatch(name) and name not in found:  # else: joined, and not removed yet
                is_sealed = stat.st_mode & 0o777 == SEALED_MODE
                length = stat.st_size if is_sealed else self._valid(path, (stat.st_size, stat.st_mtime_ns))
                found[name] = LogFile(name, path, 0, length, is_sealed)
        return [found[name] for name in sorted(found)]

    def _valid(self, path: Path, stamp: tuple[int, int]) -> int:
        known = self._open_lengths.get(path)
        if known is None or known[0] != stamp:
            try:
                known = stamp, valid_length(path.read_bytes()[: stamp[0]])
            except FileNotFoundError:  # joined at this moment
                return 0
            self._open_lengths[path] = known
        return known[1]

    def parts(self) -> dict[str, str]:
        """Part -> token. A part is the frames that begin in one PART_BYTES of a file; its token, how far it goes."""
        found = {}
        for kind in self.kinds():
            for file in self.files(kind):
                for number, start in enumerate(range(0, file.length, PART_BYTES)):
                    found[f"{kind}/{file.name}#{number:02}"] = str(min(file.length - start, PART_BYTES))
        return found

    def parts_asked_by(self, at: datetime) -> dict[str, str]:
        """As `parts`, of the pages that were asked for by `at` alone: what `parts` said then, where no page that was
        asked for before arrived after one that was not. Raises LakeError for a damaged file."""
        found = {}
        for kind in self.kinds():
            for file in self.files(kind):
                frames = self._frames(file)
                ends = [*(one.start for one in frames[1:]), file.length]
                known = [n for n, one in enumerate(frames) if one.header.asked_at <= at]
                length = ends[known[-1]] if known else 0
                for number, start in enumerate(range(0, length, PART_BYTES)):
                    inside = [n for n, one in enumerate(frames) if start <= one.start < min(start + PART_BYTES, length)]
                    missing = len(set(inside) - set(known))
                    token = str(min(length - start, PART_BYTES))
                    found[f"{kind}/{file.name}#{number:02}"] = f"{token}-{missing}" if missing else token
        return found

    def frames(self, kind: str) -> Iterator[Frame]:
        """All pages of a kind, in the order they came. Raises LakeError for a damaged file."""
        for file in self.files(kind):
            yield from self._frames(file)

    def part(self, part: str) -> list[Frame]:
        """The pages of one part. Raises KeyError where there is no such part, LakeError for a damaged file."""
        kind, _, rest = part.partition("/")
        name, _, number = rest.partition("#")
        file = next((one for one in self.files(kind) if one.name == name), None)
        if file is None or not number.isdecimal() or int(number) * PART_BYTES >= file.length:
            raise KeyError(part)
        low = int(number) * PART_BYTES
        return [one for one in self._frames(file) if low <= one.start < low + PART_BYTES]

    def headers(self, kind: str, seen: dict[str, int]) -> Iterator[Header]:
        """The headers of pages that came since `seen` (file -> how far it was read), which then has these too."""
        for file in self.files(kind):
            at = seen.get(file.name, 0)
            if at >= file.length:
                continue
            with file.path.open("rb") as stream:
                while at < file.length:
                    stream.seek(file.offset + at)
                    text, packed, _ = HEAD.unpack(stream.read(HEAD.size))
                    yield Header.load(stream.read(text))
                    at += HEAD.size + text + packed
            seen[file.name] = at

    def _frames(self, file: LogFile) -> list[Frame]:
        if self._last is None or self._last[0] != file:
            data = file.read()
            found = [
                Frame(
                    start, Header.load(data[start + HEAD.size : body]), data[body:end], HEAD.unpack_from(data, start)[2]
                )
                for start, body, end in spans_of(data)
            ]
            if file.is_sealed and valid_length(data) != file.length:
                raise LakeError(
                    "a sealed file of the inbox was altered",
                    where=str(file.path),
                    fix="put it back from a backup (`agent restore`)",
                )
            self._last = file, found
        return self._last[1]


def _joined(path: Path) -> Iterator[LogFile]:
    """The files that a joined one holds. Its first frame has no body and lists them in place of a header."""
    with path.open("rb") as file:
        head = file.read(HEAD.size)
        text = file.read(HEAD.unpack(head)[0]) if len(head) == HEAD.size else b""
        if not text or checksum(text, b"") != HEAD.unpack(head)[2]:
            raise LakeError("a joined file of the inbox is damaged", where=str(path), fix="put it back from a backup")
    offset = HEAD.size + len(text)
    for name, length in json.loads(text)["joined"]:
        yield LogFile(name, path, offset, length, is_sealed=True)
        offset += length
