"""Joins old files of an inbox into one, so that years of pages are no thousands of files."""

from __future__ import annotations

import json
import os
import sys

from pipelines.errors import LakeError
from pipelines.inbox.pages import HEAD, JOINED_SUFFIX, SEALED_MODE, SUFFIX, Inbox, checksum, valid_length
from pipelines.lake import fsync_folder
from pipelines.private import FILE_MODE


def compact(inbox: Inbox, kind: str, before: str) -> list[str]:
    """Join the sealed files of days before `before` (2026-11-01) into one; returns their names, which stay those of
    their parts. Only who holds the lease on the source calls it. Raises LakeError where a file is damaged."""
    folder = inbox.folder / kind
    _remove_joined(inbox, kind)
    files = [one for one in inbox.files(kind) if one.is_sealed and one.offset == 0 and one.name < before]
    if len(files) < 2:
        return []
    text = json.dumps({"joined": [[one.name, one.length] for one in files]}, separators=(",", ":")).encode()
    draft = folder / ".joined.draft"
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, FILE_MODE)) as file:
        file.write(HEAD.pack(len(text), 0, checksum(text, b"")) + text)
        for one in files:
            data = one.read()
            if valid_length(data) != len(data):
                raise LakeError("a sealed file was altered", where=str(one.path), fix="put it back from a backup")
            file.write(data)
        file.flush()
        os.fchmod(file.fileno(), SEALED_MODE)
        os.fsync(file.fileno())
    sys.audit("tidemill.point", "inbox.compact.drafted")
    names = [one.name.removesuffix(SUFFIX) for one in files]
    draft.replace(folder / f"{names[0]}_{names[-1]}{JOINED_SUFFIX}")
    fsync_folder(folder)
    sys.audit("tidemill.point", "inbox.compact.swapped")
    _remove_joined(inbox, kind)
    return [one.name for one in files]


def _remove_joined(inbox: Inbox, kind: str) -> None:
    """Remove files that lie in a joined one too."""
    for one in inbox.files(kind):
        alone = inbox.folder / kind / one.name
        if one.path != alone and alone.exists():
            alone.unlink()
            sys.audit("tidemill.point", "inbox.compact.removed")
