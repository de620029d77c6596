"""A collector to try a feed with: a clock that is waited by without waiting, and no database. For suites of feeds
(pipelines.testing), which may not know this package; they find it by the entry point group tidemill.collector."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from agent.collect.collector import Collector, Passed
from agent.collect.http import Client
from agent.collect.ledger import Ledger
from agent.store.collecting import StreamRow
from pipelines.inbox.collected import CollectedSource
from pipelines.inbox.writer import Writer


@dataclass
class JumpingPace:
    """A clock that jumps where it is waited by: a pause of a minute costs nothing. Otherwise it stands still."""

    at: datetime
    waited: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Where it stands."""
        return self.at

    def elapsed(self) -> float:
        """The same in seconds."""
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Jump."""
        self.waited.append(seconds)
        self.at += timedelta(microseconds=ceil(seconds * 1e6))  # rounded down, a moment would never be over
        await asyncio.sleep(0)


@dataclass
class Trial:
    """Passes over sources, from `at` on. environment: keys. patience: real seconds for one reply."""

    at: datetime
    environment: Mapping[str, str] = field(default_factory=dict)
    patience: float = 20.0
    saved: dict[str, StreamRow] = field(default_factory=dict)
    offset_seconds: float | None = None  # of the venue's clock, at the last pass
    _ledgers: dict[str, Ledger] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pace = JumpingPace(self.at)

    def collect(self, source: CollectedSource, *, fresh: bool = False, seconds: float | None = None) -> Passed:
        """One pass, of at most `seconds`; `fresh`: by a process that knows nothing but the inbox. Raises as
        Collector.run does."""
        name = source.name
        ledger = Ledger(name, source.inbox) if fresh or name not in self._ledgers else self._ledgers[name]
        self._ledgers[name] = ledger
        ledger.catch_up(self.saved.values())
        writer = Writer(source.inbox)

        def save() -> None:
            self.saved |= {row.stream: row for row in ledger.take_rows()}

        async def run() -> Passed:
            async with Client(source.feed.LIMITS, self.pace, self.environment, patience=self.patience) as client:
                until = None if seconds is None else self.pace.elapsed() + seconds
                try:
                    return await Collector(source, ledger, writer, client, self.pace, 1, save).run(until=until)
                finally:
                    self.offset_seconds = client.offset_seconds

        try:
            return asyncio.run(run())
        finally:
            writer.close()
