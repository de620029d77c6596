"""Snapshots, their versions, and the difference between two of them. Pure: values in, values out.

A snapshot is an immutable set of partitions; a partition is one immutable file. Equal data gives an equal version,
whoever computed it, whenever, and however the file was cut or compressed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from datetime import datetime
from functools import cached_property, lru_cache

from pipelines.errors import PipelineError
from pipelines.values import dataclass

ALL_COLUMNS: tuple[str, ...] = ("*",)


def digest(parts: Iterable[str]) -> str:
    """Hash of a sequence of texts, each length-prefixed so that ("ab", "c") and ("a", "bc") differ."""
    raw = [part.encode() for part in parts]
    framed = b"".join([piece for one in raw for piece in (len(one).to_bytes(8, "little"), one)])
    return hashlib.blake2b(framed, digest_size=16).hexdigest()


class HashText(Mapping[str, str]):
    """Column -> hash, as JSON that is read when one of them is asked for: of very many partitions few are."""

    __slots__ = ("_read", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._read: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self.plain()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain())

    def __len__(self) -> int:
        return len(self.plain())

    def __bool__(self) -> bool:
        return self.text != "{}"

    def __repr__(self) -> str:
        return f"HashText({self.text!r})"

    def plain(self) -> dict[str, str]:
        """The same as a dict. Raises PipelineError where the text is no JSON."""
        if self._read is None:
            try:
                self._read = json.loads(self.text)
            except ValueError as error:
                raise PipelineError(
                    f"the hashes of a partition's columns are no JSON: {self.text[:80]!r}",
                    where="table partitions, column_hashes",
                    fix="restore a backup, or `agent mark-dirty` the component",
                ) from error
            assert self._read is not None
        return self._read


def text_of(hashes: Mapping[str, str]) -> str:
    """The JSON that HashText reads."""
    return hashes.text if isinstance(hashes, HashText) else json.dumps(dict(hashes))


@dataclass(frozen=True, slots=True)
class Partition:
    """One immutable file of a snapshot.

    key: logical name, such as `2013`, `bars/2013-01-05`, `report.html`. A key that starts with a dot is a memo: kept
        with the snapshot, read back by its own component alone, and no part of the version.
    path: where the file lies, relative to the lake.
    rows: rows of a table; 0 for other files.
    content_hash: over the logical content. column_hashes: the same for each column of a table ({} for other files),
        so that a reader's input version can be over the columns it declared.
    file_hash, file_size, file_mtime_ns: of the file as it was written, for integrity alone.
    min_ts, max_ts: event time span (UTC), None where the content has no time.
    """

    key: str
    path: str
    rows: int
    content_hash: str
    file_hash: str
    file_size: int
    file_mtime_ns: int
    min_ts: datetime | None = None
    max_ts: datetime | None = None
    column_hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_memo(self) -> bool:
        return self.key.startswith(".")

    def hash_of(self, columns: tuple[str, ...]) -> str | None:
        """Content hash over `columns` only; None where this partition has none of them.

        A file without columns (a model, a report) counts whole. ALL_COLUMNS means the whole content.
        """
        if columns == ALL_COLUMNS or not self.column_hashes:
            return self.content_hash
        hashes = self.column_hashes.plain() if isinstance(self.column_hashes, HashText) else self.column_hashes
        mine = [name for name in _in_order(columns) if name in hashes]
        if not mine:
            return None
        return digest([text for name in mine for text in (name, hashes[name])])


@lru_cache
def _in_order(columns: tuple[str, ...]) -> list[str]:
    return sorted(columns)


@dataclass(frozen=True, slots=True)
class Reads:
    """What a component declares to read of one upstream: columns, and partitions by the start of their key."""

    columns: tuple[str, ...] = ALL_COLUMNS
    prefix: str = ""


EVERYTHING = Reads()


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of partitions, in the order of their keys. Raises ValueError on two of the same key."""

    component: str
    partitions: tuple[Partition, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.partitions, key=lambda partition: partition.key))
        if len({partition.key for partition in ordered}) != len(ordered):
            raise ValueError(f"two partitions of {self.component} share a key")
        object.__setattr__(self, "partitions", ordered)

    @cached_property
    def by_key(self) -> dict[str, Partition]:
        return {partition.key: partition for partition in self.partitions}

    @cached_property
    def version(self) -> str:
        """Hash over the sorted (key, content hash) pairs, memos left out."""
        return self.version_of(EVERYTHING)

    @cached_property
    def counted(self) -> tuple[Partition, ...]:
        """The partitions without memos, in order."""
        return tuple([p for p in self.partitions if not p.key.startswith(".")])

    @cached_property
    def rows(self) -> int:
        return sum([partition.rows for partition in self.counted])

    @cached_property
    def watermark(self) -> datetime | None:
        """Newest event time in the snapshot."""
        return max((p.max_ts for p in self.counted if p.max_ts is not None), default=None)

    def select(self, prefix: str = "") -> tuple[Partition, ...]:
        """Partitions whose key starts with `prefix`, memos left out, in order."""
        return tuple([p for p in self.counted if p.key.startswith(prefix)]) if prefix else self.counted

    def fingerprints(self, reads: Reads = EVERYTHING) -> dict[str, str]:
        """Partition key -> hash over what `reads` declares; partitions it does not touch are absent."""
        if reads.columns == ALL_COLUMNS:
            return {p.key: p.content_hash for p in self.select(reads.prefix)}
        hashes = ((p.key, p.hash_of(reads.columns)) for p in self.select(reads.prefix))
        return {key: value for key, value in hashes if value is not None}

    def version_of(self, reads: Reads) -> str:
        """Version of this snapshot as a reader with these `reads` sees it."""
        return digest([text for pair in self.fingerprints(reads).items() for text in pair])  # in the order of the keys


def diff(old: Snapshot | None, new: Snapshot, reads: Reads = EVERYTHING) -> frozenset[str]:
    """Keys whose content, as `reads` sees it, was added, changed or removed between `old` and `new`."""
    before, after = {} if old is None else old.by_key, new.by_key
    # Mostly they are the very same; to look into each of very many takes long.
    other = [key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)]
    return frozenset(key for key in other if _seen(before.get(key), reads) != _seen(after.get(key), reads))


def _seen(one: Partition | None, reads: Reads) -> str | None:
    """Hash of what a reader sees of a partition; None where that is nothing."""
    return None if one is None or one.is_memo or not one.key.startswith(reads.prefix) else one.hash_of(reads.columns)
