"""The inbox in a backup: what cannot be collected again is kept as it lies there, and comes back without taking the
place of more than it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.inbox.pages import SEALED_MODE, Inbox
from pipelines.lake import fsync_folder
from pipelines.private import FILE_MODE, make_folder
from pipelines.values import dataclass

FOLDER = "inbox"


@dataclass(frozen=True)
class InboxFile:
    """A file of the inbox: its path below it, and its bytes without what is half written."""

    name: str
    content: bytes


def files_of(root: Path) -> Iterator[InboxFile]:
    """All files of all sources, one in memory at a time. Pages that come meanwhile may be left out; no page that was
    there before is."""
    if not root.is_dir():
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        inbox = Inbox(folder)
        for kind in inbox.kinds():
            seen: set[Path] = set()
            for file in inbox.files(kind):
                if file.path in seen:
                    continue
                seen.add(file.path)
                # A joined file is taken whole, with its list; one that is open up to its last whole page.
                data = file.path.read_bytes() if file.offset else file.read()
                yield InboxFile(f"{folder.name}/{kind}/{file.path.name}", data)


def bring_back(unpacked: Path, root: Path) -> int:
    """Move unpacked files to their places; one that is there already and goes on after the same bytes stays. Returns
    how many were moved."""
    moved, folders = 0, set()
    for path in sorted(one for one in unpacked.rglob("*") if one.is_file()):
        target = root / path.relative_to(unpacked)
        make_folder(target.parent)
        if target.exists() and target.read_bytes().startswith(path.read_bytes()):
            continue
        path.chmod(FILE_MODE)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(SEALED_MODE)  # what comes next goes into a file of its own
        path.replace(target)
        folders.add(target.parent)
        moved += 1
    for folder in sorted(folders):
        fsync_folder(folder)
    return moved
