"""Rows waiting for their partition: in memory while they are few, on disk beyond that.

Parts cut the data one way (one file per market), partitions another (a day): without this every file would be read
once per day, or the whole history held in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_BYTES_IN_MEMORY = 100_000_000


class Spill:
    """Collects (partition key, rows) in any order, gives back all rows of a key. `folder` is its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, list[pl.DataFrame]] = {}
        self._files: dict[str, list[Path]] = {}
        self._bytes = 0
        self._count = 0

    def add(self, key: str, rows: pl.DataFrame) -> None:
        """Keep `rows` for partition `key`."""
        self._held.setdefault(key, []).append(rows)
        self._bytes += int(rows.estimated_size())
        if self._bytes > _BYTES_IN_MEMORY:
            self._flush()

    def take(self, key: str) -> pl.DataFrame | None:
        """All rows kept for `key`, which are then forgotten; None where there are none."""
        import polars as pl

        files = self._files.pop(key, [])
        frames = [pl.read_ipc(file) for file in files] + self._held.pop(key, [])
        for file in files:
            file.unlink()
        return pl.concat(frames, how="diagonal") if frames else None  # those of some parts lack empty columns

    def _flush(self) -> None:
        import polars as pl

        for key, frames in self._held.items():
            file = self._folder / f"{self._count}.arrow"
            self._count += 1
            pl.concat(frames, how="diagonal").write_ipc(file)
            self._files.setdefault(key, []).append(file)
        self._held.clear()
        self._bytes = 0
