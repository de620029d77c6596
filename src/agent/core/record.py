"""The forward record: decisions sealed when they were published, each seal over the one before. Pure.

A row's hash covers the hash of the row before, the release, when it was sealed, and the decisions: whoever changes a
byte of any of them has to change every hash after it. A chain whose end is written again shows nothing by itself, so
its newest hash is also kept outside the database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from agent.core.figures import count_text
from pipelines.values import dataclass

FIRST = "0" * 64  # what the first row has for the hash before it


@dataclass(frozen=True)
class Sealed:
    """A row of the record. release: its name; sealed_at: ISO 8601, UTC; decisions: the text that was published."""

    id: int
    release: str
    sealed_at: str
    decisions: str
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class Note:
    """What is kept of a row outside the database."""

    sealed_at: str
    release: str
    hash: str


def seal(previous_hash: str, release: str, sealed_at: str, decisions: str) -> str:
    """The hash of a row (SHA-256, hexadecimal)."""
    content = hashlib.sha256(decisions.encode()).hexdigest()
    return hashlib.sha256(json.dumps([previous_hash, release, sealed_at, content]).encode()).hexdigest()


@dataclass(frozen=True)
class Promise:
    """promised: Brier score on out-of-fold rows that the current release promises; kept: that of all `count` published
    or refused predictions whose outcome is known, made since `since`. None for what is not known."""

    promised: float | None
    kept: float
    count: int
    since: datetime


def promise_text(one: Promise) -> str:
    """A sentence."""
    promised = "promised no Brier score" if one.promised is None else f"promised Brier {one.promised:.4f}"
    return f"{promised}, kept {one.kept:.4f} on {count_text(one.count, 'outcome')}, since {one.since:%Y-%m-%d}"


def faults(rows: Sequence[Sealed], published: Mapping[str, str], noted: Iterable[Note]) -> list[str]:
    """What does not agree, a sentence each; empty where the record is as it was sealed.

    `rows` in order. `published`: release -> decisions that lie in its files now, of the releases that are still kept.
    `noted`: each seal as kept outside the database, in order.
    """
    found, before = [], FIRST
    for row in rows:
        where = f"row {row.id} ({row.release}, sealed {row.sealed_at})"
        if row.previous_hash != before:
            found.append(f"{where} does not follow the row before it: one was changed, removed or put in")
        if seal(row.previous_hash, row.release, row.sealed_at, row.decisions) != row.hash:
            found.append(f"{where} is not what was sealed: its release, time, decisions or hash were changed")
        if row.release in published and published[row.release] != row.decisions:
            found.append(f"{where}: the release's files hold other decisions")
        before = row.hash
    return found + _against_notes(rows, list(noted))


def _against_notes(rows: Sequence[Sealed], noted: Sequence[Note]) -> list[str]:
    """A seal is noted after its transaction: rows at the end may lack a note for a moment, no row before them may."""
    hashes = {one.hash for one in noted}
    last = max((number for number, row in enumerate(rows) if row.hash in hashes), default=-1)
    found = [
        f"row {row.id} ({row.release}) has no note outside the database"
        for row in rows[:last]
        if row.hash not in hashes
    ]
    known = {row.hash: Note(row.sealed_at, row.release, row.hash) for row in rows}
    for note in noted:
        if note.hash not in known:
            found.append(
                f"a seal noted outside the database, of {note.release}, is missing: its row was changed or removed"
            )
        elif known[note.hash] != note:
            found.append(f"the note of {known[note.hash].release} outside the database was changed")
    return found
