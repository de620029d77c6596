"""Sealing a release's decisions, and looking whether the record is still what was sealed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from agent.core.record import Note, Sealed, faults
from agent.execution.workspace import Workspace
from agent.store.outputs import catalog, record, releases
from pipelines.errors import LakeError
from pipelines.lake import hash_file, place_in_release
from pipelines.private import make_folder, open_new
from pipelines.snapshot import Snapshot

DECISIONS = "decisions.json"
NOTES = "record.log"  # beside the releases: the newest hash outside the database
logger = logging.getLogger("tidemill.record")


def note_seals(workspace: Workspace) -> None:
    """Write every seal that has no note yet down outside the database, flushed to disk: those just committed, and one
    of a process that died before it came to this."""
    folder = workspace.settings.releases_path
    noted = {one.hash for one in read_notes(folder)}
    with workspace.database.reading() as connections:
        new = [seal for seal in record.load_seals(connections.project) if seal[2] not in noted]
    if not new:
        return
    make_folder(folder)
    with open(folder / NOTES, "a", encoding="utf-8", opener=open_new) as file:
        for sealed_at, release, one in new:
            file.write(f"{sealed_at}\t{release}\t{one}\n")
            logger.info("sealed the decisions of %s: %s", release, one)
        file.flush()
        os.fsync(file.fileno())


def read_notes(folder: Path) -> list[Note]:
    """Each seal noted; a line that is no note counts as one of an unknown seal."""
    try:
        text = (folder / NOTES).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    parts = (line.split("\t") for line in text.removesuffix("\n").split("\n"))
    return [Note(*part) if len(part) == 3 else Note("", "an unreadable note", "") for part in parts]


def verify(workspace: Workspace) -> tuple[list[Sealed], list[str]]:
    """The record, and what does not agree with it: rows, notes, and the files of releases that are still kept."""
    folder = workspace.settings.releases_path
    with workspace.database.reading() as connections:
        rows = record.load_record(connections.project)
        kept = {one.name: one.snapshot_id for one in releases.list_releases(connections.project, limit=10_000)}
        snapshots = {name: catalog.load_snapshot(connections.project, number) for name, number in kept.items()}
    published = {name: _published(workspace, folder / name, snapshot) for name, snapshot in snapshots.items()}
    known = {name: text for name, text in published.items() if text is not None}
    changed = [
        f"release {name}: {file} is not what was published"
        for name, snapshot in snapshots.items()
        for file in _changed(folder / name, snapshot)
    ]
    return rows, faults(rows, known, read_notes(folder)) + changed


def _changed(folder: Path, snapshot: Snapshot) -> list[str]:
    """The files of a release's folder that differ, by a byte, from what was written; none where it is kept no more."""
    places = {one.key: place_in_release(folder, one.key) for one in snapshot.partitions} if folder.is_dir() else {}
    hashes = {one.key: one.file_hash for one in snapshot.partitions}
    return [key for key, place in places.items() if place is not None and _hash_of(place) != hashes[key]]


def _hash_of(file: Path) -> str | None:
    try:
        return hash_file(file)
    except OSError:
        return None


def _published(workspace: Workspace, folder: Path, snapshot: Snapshot) -> str | None:
    """The decisions in a release's files; None for one that never had any. Damaged files hold no decisions."""
    partition = snapshot.by_key.get(DECISIONS)
    if partition is None:
        return None
    try:
        text = workspace.lake.read_bytes(partition)
        copy = (folder / DECISIONS).read_bytes() if folder.exists() else text
    except (LakeError, OSError):
        return ""
    return text.decode() if copy == text else ""
