"""The lake of a proof: it writes to a folder of its own, and shows a component what it declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.execution.upkeep.reproduce import Overlay
from pipelines.lake import Lake
from pipelines.snapshot import ALL_COLUMNS, Partition, Reads, Snapshot

if TYPE_CHECKING:
    import polars as pl


class Enough(BaseException):
    """As many partitions were written as this pass may. No Exception: a component does not handle it."""


class ProvingLake(Overlay):
    """Keeps what is written, ends the pass at `limit`, and calls `noticed` with the upstream and the columns (or the
    key, for a partition outside the declared prefix) that were asked for by name without being declared."""

    def __init__(self, root: Path, below: Lake, limit: int, noticed: Callable[[str, str], None]) -> None:
        super().__init__(root, below)
        self.written: dict[str, Partition] = {}
        self._limit, self._noticed = limit, noticed
        self._reads: dict[str, tuple[str, Reads]] = {}
        self._hides = False
        self._blind: dict[str, Path] = {}

    def declare(self, inputs: Mapping[str, Snapshot], reads: Mapping[str, Reads], *, hides: bool) -> None:
        """What each upstream's partitions may be read for. hides: columns that are not declared are empty."""
        self._reads = {one.path: (name, reads[name]) for name in reads for one in inputs[name].partitions}
        self._hides = hides

    def read_tables(self, partitions: Sequence[Partition], columns: Sequence[str] | None = None) -> pl.DataFrame:
        for one in partitions:
            name, reads = self._reads.get(one.path, ("", Reads()))
            if reads.columns != ALL_COLUMNS and columns is not None:
                asked = [column for column in columns if column in one.column_hashes and column not in reads.columns]
                for column in asked:
                    self._noticed(name, f"column {column!r}")
        return super().read_tables(partitions, columns)

    def path_of(self, partition: Partition) -> Path:
        name, reads = self._reads.get(partition.path, ("", Reads()))
        if not partition.key.startswith(reads.prefix):
            self._noticed(name, f"partition {partition.key!r}")
        path = super().path_of(partition)
        hidden = [column for column in partition.column_hashes if column not in reads.columns]
        if not self._hides or reads.columns == ALL_COLUMNS or not hidden:
            return path
        if partition.path not in self._blind:
            self._blind[partition.path] = self._without(path, hidden)
        return self._blind[partition.path]

    def _without(self, path: Path, hidden: Sequence[str]) -> Path:
        import polars as pl

        frame = pl.read_parquet(path, glob=False)
        blind = self.root / "blind" / f"{len(self._blind)}.parquet"
        blind.parent.mkdir(parents=True, exist_ok=True)
        empty = [pl.lit(None, dtype=frame.schema[column]).alias(column) for column in hidden]
        frame.with_columns(empty).write_parquet(blind)
        return blind

    def _whole(self, partition: Partition) -> Path:
        path = self.path_of(partition)
        return path if partition.path in self._blind else super()._whole(partition)

    def discard(self, partition: Partition) -> None:
        """It is kept until the proof ends: its folder goes as a whole."""

    def flush(self) -> None:
        """Nothing of it outlives the proof."""

    def write_table(
        self, component: str, key: str, frame: pl.DataFrame, *, attempt: str, time: str | None = None
    ) -> Partition:
        return self._count(super().write_table(component, key, frame, attempt=attempt, time=time))

    def write_bytes(
        self, component: str, key: str, data: bytes, *, attempt: str, content: str | None = None, suffix: str = ""
    ) -> Partition:
        return self._count(super().write_bytes(component, key, data, attempt=attempt, content=content, suffix=suffix))

    def _count(self, partition: Partition) -> Partition:
        if partition.is_memo:
            return partition
        self.written[partition.key] = partition
        if len(self.written) >= self._limit:
            raise Enough
        return partition
