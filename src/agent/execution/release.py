"""Releases on disk: one folder per release, and `current` that points to the one in force.

The SQL row is the truth. A folder is complete before the row is committed; the pointer follows the row and is fixed
from it at each start, so a crash in between leaves at worst a folder that gc removes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from agent.errors import NotFound
from pipelines.lake import SHARED, SHARED_FOLDER, Lake, fsync_folder, hash_file, place_in_release
from pipelines.private import close_file, make_folder
from pipelines.snapshot import Partition, Snapshot

POINTER = "current"
REPORT = "report.html"
_LINK = re.compile(rf'<script src="\.\./{SHARED_FOLDER}/([A-Za-z0-9][A-Za-z0-9.-]*)"></script>')


def release_name(version: str, as_of: datetime | None) -> str:
    """Name of a release: the date of its newest tick and its version, such as `2013-03-01-3f2a9c1b4d5e`."""
    return f"{as_of:%Y-%m-%d}-{version[:12]}" if as_of is not None else version[:12]


def write_release(lake: Lake, snapshot: Snapshot, releases: Path, name: str) -> Path:
    """Lay a publish snapshot out as folder `name`, flushed to disk. A whole folder that is there already is kept."""
    folder = releases / name
    if is_whole(folder, snapshot):
        return folder
    draft, aside = releases / f".{name}.{_writer()}.draft", releases / f".{name}.{_writer()}.old.draft"
    shutil.rmtree(draft, ignore_errors=True)
    for partition in snapshot.partitions:
        if partition.key.startswith(SHARED):
            _write_shared(lake, partition, folder)
        elif not partition.is_memo:
            _write_file(lake, partition, draft / partition.key)
    for inner in (*(path for path in draft.rglob("*") if path.is_dir()), draft):
        fsync_folder(inner)
    sys.audit("tidemill.point", "release.draft.flushed")
    if folder.exists():  # altered by hand: out of the way in one step, not file by file
        folder.replace(aside)
        sys.audit("tidemill.point", "release.altered.moved")
    _move(draft, folder)
    fsync_folder(releases.parent)
    shutil.rmtree(aside, ignore_errors=True)
    sys.audit("tidemill.point", "release.flushed")
    return folder


def _write_file(lake: Lake, partition: Partition, path: Path) -> None:
    make_folder(path.parent)
    sys.audit("tidemill.point", "release.file.writing")
    path.write_bytes(lake.read_bytes(partition))
    sys.audit("tidemill.point", "release.file.written")
    close_file(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sys.audit("tidemill.point", "release.file.flushed")


def _write_shared(lake: Lake, partition: Partition, folder: Path) -> None:
    """Lay a file beside the releases, unless one before had it already: its name says its content."""
    path = place_in_release(folder, partition.key)
    assert path is not None
    if _is_there(path, partition):
        return
    draft = path.with_name(f".{path.name}.{_writer()}.draft")
    _write_file(lake, partition, draft)
    _move(draft, path)


def _move(draft: Path, path: Path) -> None:
    """Let what is whole appear at its place, in one step."""
    draft.replace(path)
    sys.audit("tidemill.point", "release.moved")
    fsync_folder(path.parent)


def is_whole(folder: Path, snapshot: Snapshot) -> bool:
    """Whether every file of the release is in `folder`, byte for byte."""
    places = ((place_in_release(folder, partition.key), partition) for partition in snapshot.partitions)
    return all(path is None or _is_there(path, partition) for path, partition in places)


def _is_there(path: Path, partition: Partition) -> bool:
    try:
        return path.stat().st_size == partition.file_size and hash_file(path) == partition.file_hash
    except OSError:
        return False


def has_files(folder: Path, sizes: Mapping[str, int]) -> bool:
    """Whether every file of a release is there with its size in bytes: cheap enough for every run."""
    try:
        places = ((place_in_release(folder, key), size) for key, size in sizes.items())
        return all(path.stat().st_size == size for path, size in places if path is not None)
    except OSError:
        return False


def whole_page(folder: Path) -> str:
    """The report of the release in `folder` as one page that needs nothing beside it. Raises NotFound."""
    try:
        page = (folder / REPORT).read_text(encoding="utf-8")
        link = _LINK.search(page)  # none in a release of before there were shared files
        if link is None:
            return page
        script = (folder.parent / SHARED_FOLDER / link[1]).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            "the release has no report", where=error.filename, fix="`agent run` lays the current release out again"
        ) from error
    return f"{page[: link.start()]}<script>{script}</script>{page[link.end() :]}"


def point_to(releases: Path, name: str) -> None:
    """Make `current` lead to release `name`, in one atomic step. A link, or a file with the name where the system
    allows no links (Windows)."""
    pointer, draft = releases / POINTER, releases / f".{POINTER}.{_writer()}"
    if current_name(releases) == name:
        return
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    try:
        draft.symlink_to(name, target_is_directory=True)
    except OSError:
        draft.write_text(name, encoding="utf-8")
    sys.audit("tidemill.point", "pointer.drafted")
    draft.replace(pointer)
    sys.audit("tidemill.point", "pointer.moved")
    fsync_folder(releases)
    sys.audit("tidemill.point", "pointer.flushed")


def _writer() -> str:
    """Names drafts: two threads of a server may lay out the same release."""
    return f"{os.getpid()}.{threading.get_ident()}"


def current_name(releases: Path) -> str | None:
    """The release that the pointer on disk names; None where there is none."""
    pointer = releases / POINTER
    try:
        return str(pointer.readlink()) if pointer.is_symlink() else pointer.read_text(encoding="utf-8")
    except OSError:
        return None
