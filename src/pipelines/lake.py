"""Partition files on disk: written once, flushed, never changed, found again by the catalog.

A name carries the content hash and the attempt that wrote it (`features/bars/2013.1f0c….a17.parquet`), so no two
attempts ever write the same file and gc can tell an abandoned attempt's files from those about to be committed.

`sys.audit("tidemill.point", NAME)` names a place where a crash leaves something half done, here and in the agent: it
costs nothing, and lets the torture tests (or any audit hook) end the process exactly there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.column_hashes import column_hashes
from pipelines.errors import LakeError
from pipelines.parallel import in_threads
from pipelines.private import close_file, make_folder
from pipelines.snapshot import Partition, digest
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

TABLE_SUFFIX = ".parquet"
# Keys that start so are files that several releases refer to, such as the script that draws: kept with the snapshot,
# no part of its version, and laid beside the folders of releases, once, as SHARED_FOLDER/NAME.
SHARED, SHARED_FOLDER = ".shared/", "shared"
OWNER_FILE = ".owner"  # says which database the lake belongs to; no partition
_CHUNK = 1 << 20
# Rows of a row group. Tables are in the order of their markets, and who asks for one market reads the groups that have
# it: of a day of 140 000 bars of 500 markets one in five. Half of this reads as little more as files grow by it.
_GROUP_ROWS = 1 << 15
_FLUSHED_AT_ONCE = 8
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_SAFE_KEY = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")


def hash_file(path: Path) -> str:
    """Hash of a file's bytes."""
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a file in it survives a power cut. A no-op where folders cannot be opened."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_file(path: Path) -> None:
    with _DiskErrors(path), path.open("rb") as file:
        os.fsync(file.fileno())
    sys.audit("tidemill.point", "lake.file.flushed")


@dataclass
class Lake:
    """A folder of partition files."""

    root: Path
    _unsynced: set[Path] = field(default_factory=set, repr=False)  # folders
    _new: set[Path] = field(default_factory=set, repr=False)  # files, as long as they are not flushed

    def path_of(self, partition: Partition) -> Path:
        return self.root / partition.path

    def write_table(
        self, component: str, key: str, frame: pl.DataFrame, *, attempt: str, time: str | None = None
    ) -> Partition:
        """Write `frame` as Parquet. Row order and column types are content. `time` names the event time column.

        Raises LakeError when the disk refuses (full, read-only).
        """
        hashes = dict(sorted(column_hashes(frame).items()))
        content = digest(text for pair in hashes.items() for text in pair)
        path = self._new_path(component, key, content, attempt, TABLE_SUFFIX)
        with _DiskErrors(path):
            frame.write_parquet(path, compression="zstd", statistics=True, row_group_size=_GROUP_ROWS)
        low, high = _span(frame, time)
        return self._seal(path, key, content, rows=frame.height, low=low, high=high, columns=hashes)

    def write_bytes(
        self, component: str, key: str, data: bytes, *, attempt: str, content: str | None = None, suffix: str = ""
    ) -> Partition:
        """Write `data` as it is. `content` is the logical content's hash where the bytes are not it."""
        content = content or hashlib.blake2b(data, digest_size=16).hexdigest()
        path = self._new_path(component, key, content, attempt, suffix)
        with _DiskErrors(path):
            path.write_bytes(data)
        return self._seal(path, key, content, rows=0, low=None, high=None, columns={})

    def read_table(self, partition: Partition, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The table in `partition`; of `columns`, those that it has. Raises LakeError where the file is not whole."""
        return self.read_tables([partition], columns)

    def read_tables(self, partitions: Sequence[Partition], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Several partitions of the same columns, one after the other. An empty frame for none."""
        import polars as pl

        frames = []
        for partition in partitions:
            path = self._whole(partition)
            wanted = None if columns is None else [name for name in columns if name in partition.column_hashes]
            try:
                frames.append(pl.read_parquet(path, columns=wanted, glob=False))
            except (OSError, pl.exceptions.PolarsError) as error:
                raise LakeError(
                    f"cannot read partition {partition.key!r}: {error}",
                    where=str(path),
                    fix="`agent checks --deep` marks damaged files, `agent run` makes them again",
                ) from error
        return pl.concat(frames, rechunk=True) if frames else pl.DataFrame()

    def scan_tables(self, partitions: Sequence[Partition]) -> pl.LazyFrame:
        """Several partitions for a query that reads only the columns and rows it needs; columns are those of the first.

        Raises LakeError where a file is missing or cut short; an empty frame for none.
        """
        import polars as pl

        paths = [self._whole(partition) for partition in partitions]
        if not paths:
            return pl.LazyFrame()
        return pl.scan_parquet(paths, glob=False, missing_columns="insert", extra_columns="ignore")

    def read_bytes(self, partition: Partition) -> bytes:
        """The bytes of `partition`, checked against its hash (code may be unpickled from them)."""
        data = self._whole(partition).read_bytes()
        if hashlib.blake2b(data, digest_size=16).hexdigest() != partition.file_hash:
            raise LakeError(
                f"partition {partition.key!r} was altered since it was written",
                where=str(self.path_of(partition)),
                fix="`agent run` makes again what was altered",
            )
        return data

    def discard(self, partition: Partition) -> None:
        """Remove a file that no one will ever refer to."""
        sys.audit("tidemill.point", "lake.file.discarding")
        self.path_of(partition).unlink(missing_ok=True)
        self._new.discard(self.path_of(partition))
        sys.audit("tidemill.point", "lake.file.discarded")

    def flush(self) -> None:
        """Flush everything written since the last flush, and its folders: after this a commit may refer to the files.

        Many files at once: the disk then takes them together.
        """
        sys.audit("tidemill.point", "lake.flushing")
        in_threads(_flush_file, sorted(self._new), workers=_FLUSHED_AT_ONCE)
        self._new.clear()
        for folder in sorted(self._unsynced):
            fsync_folder(folder)
            sys.audit("tidemill.point", "lake.folder.flushed")
        self._unsynced.clear()
        sys.audit("tidemill.point", "lake.flushed")

    def _new_path(self, component: str, key: str, content: str, attempt: str, suffix: str) -> Path:
        if not _SAFE_KEY.fullmatch(key) or ".." in key:
            raise LakeError(
                f"partition key {key!r} is not a relative name of letters, digits, dots and dashes",
                where=f"the code of component {component}",
                fix="give a key such as 2013 or features/2013-01",
            )
        path = self.root / component / f"{key}.{content[:12]}.{attempt}{suffix}"
        with _DiskErrors(path):
            if not path.parent.is_dir():
                self._make_folders(path.parent)
        sys.audit("tidemill.point", "lake.file.writing")
        return path

    def _make_folders(self, innermost: Path) -> None:
        for folder in reversed([f for f in (innermost, *innermost.parents) if f.is_relative_to(self.root)]):
            if not folder.exists():
                make_folder(folder)
                self._unsynced.add(folder.parent)
                sys.audit("tidemill.point", "lake.folder.made")

    def _seal(
        self,
        path: Path,
        key: str,
        content: str,
        *,
        rows: int,
        low: datetime | None,
        high: datetime | None,
        columns: dict[str, str],
    ) -> Partition:
        sys.audit("tidemill.point", "lake.file.written")
        with _DiskErrors(path):
            close_file(path)
        self._new.add(path)
        self._unsynced.add(path.parent)
        stat = path.stat()
        return Partition(
            key=key,
            path=path.relative_to(self.root).as_posix(),
            rows=rows,
            content_hash=content,
            file_hash=hash_file(path),
            file_size=stat.st_size,
            file_mtime_ns=stat.st_mtime_ns,
            min_ts=low,
            max_ts=high,
            column_hashes=columns,
        )

    def _whole(self, partition: Partition) -> Path:
        path = self.path_of(partition)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise LakeError(
                f"partition {partition.key!r} is missing", where=str(path), fix="`agent run` makes it again"
            ) from error
        if size != partition.file_size:
            raise LakeError(
                f"partition {partition.key!r} has {size} bytes, written were {partition.file_size}",
                where=str(path),
                fix="`agent run` makes again what was altered",
            )
        return path


def _span(frame: pl.DataFrame, time: str | None) -> tuple[datetime | None, datetime | None]:
    """Least and greatest event time of a table, as aware UTC instants."""
    if time is None or frame.is_empty():
        return None, None
    column = frame.get_column(time)
    low, high = column.min(), column.max()
    assert low is None or isinstance(low, datetime)
    assert high is None or isinstance(high, datetime)
    return low, high


class _DiskErrors:
    """Turn what the disk refuses into a LakeError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        refused = _refusal(error)
        if refused is not None:
            raise LakeError(
                f"cannot write: {refused}",
                where=str(self.path),
                fix="free disk space or check the folder's permissions, then run again; nothing was changed",
            ) from error


def _refusal(error: BaseException | None) -> str | None:
    """The system's message when it refused; Polars has it in the text of some error of its own ("… (os error 28)")."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    number = _OS_ERROR.search(str(error)) if type(error).__module__.startswith("polars") else None
    return os.strerror(int(number[1])) if number else None


def files_below(root: Path) -> Iterable[Path]:
    """Every file of a lake, for gc and checks; not the one that says whose it is."""
    return (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(OWNER_FILE))


def place_in_release(folder: Path, key: str) -> Path | None:
    """Where partition `key` of a release lies whose folder is `folder`; None for a memo, which is not laid out."""
    if key.startswith(SHARED):
        return folder.parent / SHARED_FOLDER / key.removeprefix(SHARED)
    return None if key.startswith(".") else folder / key


def unlike(root: Path, stamps: Mapping[str, str]) -> set[str]:
    """Those of `stamps` (path below `root` -> "BYTES TIME", of change in ns) that are not true of a file there: it is
    gone, or another one. A folder is listed once.

    Every run does this for every file, so that it is written for speed.
    """
    left = dict(stamps)
    for folder in {path.rpartition("/")[0] for path in stamps}:
        prefix = f"{folder}/" if folder else ""
        with contextlib.suppress(OSError), _listed(root / folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                stamp = left.get(path)
                if stamp is None:
                    continue
                try:
                    stat = entry.stat()
                except OSError:
                    continue  # gone since it was listed
                if stamp == f"{stat.st_size} {stat.st_mtime_ns}":
                    del left[path]
    return set(left)


@contextlib.contextmanager
def _listed(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The entries of a folder, which is found once, not again for each of them, where the system can do so."""
    if os.scandir not in os.supports_fd:
        with os.scandir(folder) as entries:
            yield entries
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with os.scandir(handle) as entries:
            yield entries
    finally:
        os.close(handle)


def look(root: Path, paths: Collection[str]) -> dict[str, tuple[int, int]]:
    """Path below `root` -> (bytes, time of change in ns) of the `paths` that are there. A folder is listed once."""
    wanted: dict[str, dict[str, str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        wanted.setdefault(folder, {})[name] = path
    found = {}
    for folder, names in wanted.items():
        with contextlib.suppress(OSError), os.scandir(root / folder) as entries:
            for entry in entries:
                wanted_as = names.get(entry.name)
                if wanted_as is None:
                    continue
                try:
                    stat = entry.stat()
                except OSError:
                    continue  # gone since it was listed
                found[wanted_as] = stat.st_size, stat.st_mtime_ns
    return found
