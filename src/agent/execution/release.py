"""Releases on disk: one folder per release, and `current` that points to the one in force.

The SQL row is the truth. A folder is complete before the row is committed; the pointer follows the row and is fixed
from it at each start, so a crash in between leaves at worst a folder that gc removes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pipelines.lake import Lake, fsync_folder, hash_file
from pipelines.private import close_file, make_folder
from pipelines.snapshot import Snapshot

POINTER = "current"


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
    for partition in snapshot.select():
        path = draft / partition.key
        make_folder(path.parent)
        sys.audit("tidemill.point", "release.file.writing")
        path.write_bytes(lake.read_bytes(partition))
        sys.audit("tidemill.point", "release.file.written")
        close_file(path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sys.audit("tidemill.point", "release.file.flushed")
    for inner in (*(path for path in draft.rglob("*") if path.is_dir()), draft):
        fsync_folder(inner)
    sys.audit("tidemill.point", "release.draft.flushed")
    if folder.exists():  # altered by hand: out of the way in one step, not file by file
        folder.replace(aside)
        sys.audit("tidemill.point", "release.altered.moved")
    draft.replace(folder)
    sys.audit("tidemill.point", "release.moved")
    fsync_folder(releases)
    fsync_folder(releases.parent)
    shutil.rmtree(aside, ignore_errors=True)
    sys.audit("tidemill.point", "release.flushed")
    return folder


def is_whole(folder: Path, snapshot: Snapshot) -> bool:
    """Whether every file of the release is in `folder`, byte for byte."""
    for partition in snapshot.select():
        path = folder / partition.key
        try:
            if path.stat().st_size != partition.file_size or hash_file(path) != partition.file_hash:
                return False
        except OSError:
            return False
    return True


def has_files(folder: Path, sizes: Mapping[str, int]) -> bool:
    """Whether every file of a release is there with its size in bytes: cheap enough for every run."""
    try:
        return all((folder / key).stat().st_size == size for key, size in sizes.items() if not key.startswith("."))
    except OSError:
        return False


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
