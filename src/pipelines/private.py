"""Folders and files that only their owner may read: what is computed may be worth money, and models are code."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, for its owner alone; one that is there stays as it is.

    Raises OSError. (`Path.mkdir(parents=True, mode=…)` gives the mode to the last one only.)
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if not missing:
        folder.mkdir(exist_ok=True)  # raises where it is a file


def close_file(path: Path) -> None:
    """Let only its owner read and write the file. Raises OSError."""
    path.chmod(FILE_MODE)


def close_folder(folder: Path) -> None:
    """Let only its owner into a folder of ours that an earlier version left open to others; one of another user, or
    one that is not there, stays as it is."""
    try:
        found = folder.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o077:
            folder.chmod(FOLDER_MODE)
    except OSError:
        return  # a read-only mount: whoever made it read-only decides who reads


def open_new(path: str, flags: int) -> int:
    """An opener for `open(…, opener=open_new)`: a file that is made is its owner's alone."""
    return os.open(path, flags, FILE_MODE)
