"""A folder of files, and what is made of them, run after run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.component import perform
from pipelines.components.markets import Settings as MarketSettings
from pipelines.components.markets import ingest_markets
from pipelines.components.ticks import Settings, ingest_ticks
from pipelines.lake import Lake
from pipelines.settings import Faults, build
from pipelines.snapshot import Snapshot
from pipelines.source import Bulk, Source
from pipelines.sources.files import FilesSource
from pipelines.sources.files import Settings as FilesSettings

DATASETS: list[dict[str, Any]] = [
    {"path": "bars/*.csv", "kind": "spot", "interval_seconds": 300},
    {"path": "trades/*.csv", "kind": "spot", "content": "trades", "market": "trades", "ts_unit": "ms"},
    # The same trades without their id: rows are told apart by what they say.
    {
        "path": "bare/*.csv",
        "kind": "spot",
        "content": "trades",
        "market": "bare",
        "ts_unit": "ms",
    },
]


class Mill:
    """A folder of files, a lake, and what was made of them so far."""

    def __init__(self, folder: Path, datasets: list[dict[str, Any]], **ticks: Any) -> None:
        self.data, self.lake = folder / "data", Lake(folder / "lake")
        self.data.mkdir(parents=True)
        self.datasets, self.settings = datasets, Settings(**ticks)
        self.costs = MarketSettings()
        self.attempts, self.clock = 0, 0
        self.markets: Snapshot | None = None
        self.ticks: Snapshot | None = None
        self.read: list[str] = []
        self.kind: type[FilesSource] = FilesSource
        self.one_by_one = False

    def write(self, name: str, text: str) -> None:
        """Write a file with a time of change of its own, so that a quick edit of the same size is seen as one."""
        path = self.data / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.clock += 1
        os.utime(path, ns=(self.clock, self.clock))

    def source(self) -> Source:
        faults = Faults("agent.toml")
        made: FilesSettings = build(FilesSettings, {"datasets": self.datasets}, "sources.files", faults)
        faults.raise_if_any()
        mill = self

        class Watched(self.kind):  # type: ignore[name-defined, misc]  # a base chosen by the test
            def fetch(self, part: str) -> Any:
                mill.read.append(part)
                return super().fetch(part)

            def fetch_many(self, parts: Sequence[str]) -> Any:
                if mill.one_by_one:
                    return (Bulk.of_one(part, self.fetch(part)) for part in parts)
                mill.read.extend(parts)
                return super().fetch_many(parts)

        return Watched(made, self.data)

    def run(self, *, fresh: bool = False, redo: tuple[str, ...] = ()) -> Snapshot:
        """Markets and ticks from what the files hold now; `fresh`: from scratch, and not remembered."""
        self.attempts += 1
        attempt, sources = f"a{self.attempts}", {"files": self.source()}
        self.read.clear()
        markets = perform(ingest_markets, self.costs, {}, lake=self.lake, attempt=attempt, sources=sources)
        before = None if fresh or self.markets is None else {"markets": self.markets}
        ticks = perform(
            ingest_ticks,
            self.settings,
            {"markets": markets},
            lake=self.lake,
            attempt=attempt,
            previous=None if fresh else self.ticks,
            previous_inputs=before,
            redo=frozenset(redo),
            sources=sources,
        )
        if not fresh:
            self.markets, self.ticks = markets, ticks
        return ticks

    def table(self, snapshot: Snapshot, prefix: str = "bars/") -> pl.DataFrame:
        return self.lake.read_tables(snapshot.select(prefix))


def keys(snapshot: Snapshot) -> list[str]:
    return [partition.key for partition in snapshot.select()]


def csv(*rows: str) -> str:
    return "\n".join(["ts,market,open,high,low,close,volume", *rows]) + "\n"


def bar(day: int, market: str = "A", price: float = 2.0, minute: int = 0) -> str:
    return f"2020-01-{day:02}T00:{minute:02}:00Z,{market},{price},{price + 1},{price - 1},{price},7"
