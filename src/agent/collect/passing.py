"""A pass over a source under its lease: one process at a time writes into an inbox, whoever begins it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent import dotenv_file, identity
from agent.collect.collector import Collector, Passed, append_heard
from agent.collect.coverage import Phase
from agent.collect.http import Client
from agent.collect.ledger import Ledger
from agent.collect.pace import Pace, RealPace
from agent.errors import LeaseLost
from agent.runtime.keeper import LeaseKeeper
from agent.settings import Settings
from agent.store import collecting, leases
from agent.store.database.engine import Database
from pipelines.errors import PipelineError, SettingsError
from pipelines.inbox.collected import CollectedSource
from pipelines.inbox.heard import mark_replaced
from pipelines.inbox.pages import Header
from pipelines.inbox.writer import Writer
from pipelines.plugins.discovery import load_source, settings_of_source
from pipelines.project import source_names_in
from pipelines.settings import Faults, build, read_toml

logger = logging.getLogger("tidemill.collect")
Stop = Callable[[], str | None]


@dataclass
class Passes:
    """What passes over a project's sources share: its database, and what is known of each inbox."""

    settings: Settings
    database: Database
    pace: Pace = field(default_factory=RealPace)
    environment: Mapping[str, str] | None = None
    ledgers: dict[str, Ledger] = field(default_factory=dict)  # by source, brought up to date by each pass
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)  # who of this process writes into which inbox
    _under_way: dict[str, Collector] = field(default_factory=dict)

    async def keep(self, source: CollectedSource, pages: Sequence[tuple[str, Header, bytes]]) -> None:
        """Write what was heard: with the pass that is under way here, or under the lease for a moment. Raises Busy
        where another process has it, LeaseLost and LakeError."""
        collector = self._under_way.get(source.name)
        if collector is not None:
            collector.take_heard(pages)
            return
        async with self._turn(source.name):
            ledger = self.ledgers.setdefault(source.name, Ledger(source.name, source.inbox))
            lease = self._take(source.name)  # no thread: cancelled meanwhile, nobody would give it back
            try:
                writer = Writer(source.inbox)
                try:
                    ledger.catch_up()
                    append_heard(writer, ledger, lease.token, pages)
                    for kind, name, length in writer.flush(self.pace.now()):
                        ledger.written(kind, name, length)
                    self._save(source.name, lease.token, ledger)
                finally:
                    writer.close()
            except PipelineError:
                self.ledgers.pop(source.name, None)
                raise
            finally:
                with self.database.writing() as connections:
                    leases.release(connections.project, leases.of_collector(source.name), lease.token)

    def _turn(self, source: str) -> asyncio.Lock:
        return self._turns.setdefault(source, asyncio.Lock())

    async def over(
        self,
        source: CollectedSource,
        *,
        seconds: float | None = None,
        phases: Iterable[Phase] = tuple(Phase),
        stop: Stop = lambda: None,
    ) -> Passed:
        """One pass, of at most `seconds`. Raises Busy where another process collects the source, LeaseLost where one
        took over, SourceRefused and LakeError."""
        async with self._turn(source.name):
            return await self._over(source, seconds, phases, stop)

    async def _over(
        self, source: CollectedSource, seconds: float | None, phases: Iterable[Phase], stop: Stop
    ) -> Passed:
        client = Client(source.feed.LIMITS, self.pace, self.environment or keys(self.settings, source))
        ledger = self.ledgers.setdefault(source.name, Ledger(source.name, source.inbox))
        lease = await asyncio.to_thread(self._take, source.name)
        keeper = LeaseKeeper(self.database, f"collecting {source.name}", (lease,), self._lease_seconds)
        error: str | None = "the process ended in the middle of it"
        try:
            with keeper:
                writer = Writer(source.inbox)
                try:
                    with self.database.reading() as connections:
                        ledger.catch_up(collecting.load_streams(connections.project, source.name))

                    def save() -> None:
                        self._save(source.name, lease.token, ledger)

                    def reason_to_stop() -> str | None:
                        return stop() or keeper.reason_to_stop()

                    def require_lease() -> None:
                        if keeper.lost:
                            raise _lost(source.name)

                    collector = Collector(
                        source, ledger, writer, client, self.pace, lease.token, save, reason_to_stop, require_lease
                    )
                    until = None if seconds is None else self.pace.elapsed() + seconds
                    self._under_way[source.name] = collector
                    async with client:
                        passed = await collector.run(until=until, phases=phases)
                    require_lease()
                    writer.seal_backfill()
                    mark_replaced(source.inbox)
                finally:
                    self._under_way.pop(source.name, None)
                    writer.close()
            error = None
            return passed
        except PipelineError as fault:
            error = fault.what
            raise
        finally:
            if error is not None:
                self.ledgers.pop(source.name, None)  # what was not written is not known
            self._end(source.name, lease.token, error, client.offset_seconds, ledger)

    @property
    def _lease_seconds(self) -> float:
        return self.settings.executor.lease_seconds

    def _take(self, source: str) -> leases.Lease:
        with self.database.writing() as connections:
            collecting.ensure_collector(connections.project, source)
            return leases.take(connections.project, leases.of_collector(source), identity.own(), self._lease_seconds)

    def _save(self, source: str, token: int, ledger: Ledger) -> None:
        with self.database.writing() as connections:
            if not leases.is_held(connections.project, leases.of_collector(source), token):
                raise _lost(source)
            collecting.save_streams(connections.project, ledger.take_rows())

    def _end(self, source: str, token: int, error: str | None, offset: float | None, ledger: Ledger) -> None:
        now = self.pace.now()
        ok_at = max((one.last_at for one in ledger.streams.values() if one.last_at is not None), default=None)
        with self.database.writing() as connections:
            if leases.release(connections.project, leases.of_collector(source), token):
                collecting.save_pass(
                    connections.project, source, now=now, ok_at=ok_at, error=error, offset_seconds=offset
                )


def _lost(source: str) -> LeaseLost:
    return LeaseLost(
        f"another process took over collecting {source}",
        where=leases.of_collector(source),
        fix="leave it to that process; what was collected is there",
    )


def keys(settings: Settings, source: CollectedSource) -> dict[str, str]:
    """The secrets that a source names, from the environment or .env. Raises SettingsError for a .env that others can
    read; one that is missing is reported when it is needed."""
    found = {name: os.environ[name] for name in source.feed.SECRETS if name in os.environ}
    missing = [name for name in source.feed.SECRETS if name not in found]
    path = settings.base / dotenv_file.NAME
    written = dotenv_file.read(path) if missing else {}
    if any(name in written for name in missing) and path.stat().st_mode & 0o077:
        raise SettingsError(
            f"other users can read the keys of {source.name}", where=str(path), fix=f"chmod 600 {dotenv_file.NAME}"
        )
    return found | {name: written[name] for name in missing if name in written}


def remote_sources(settings: Settings, only: Iterable[str] = ()) -> dict[str, CollectedSource]:
    """The remote sources of a project, by name; `only` some of them. Raises SettingsError for wrong settings of one,
    and for a name that is none of them."""
    values = read_toml(settings.file)
    sections = values.get("sources", {})
    faults, found = Faults(str(settings.file)), {}
    for name in source_names_in(values):
        cls = load_source(name)
        if not issubclass(cls, CollectedSource) or name not in sections:
            continue
        made = build(settings_of_source(cls), sections[name], f"sources.{name}", faults)
        if made is not None:
            found[name] = cls(made, settings.base, settings.inbox_path)
    faults.raise_if_any()
    wanted = list(only)
    for name in wanted:
        if name not in found:
            raise SettingsError(
                f"there is no remote source {name!r} here",
                where=str(settings.file),
                fix=f"remote are: {', '.join(found)}" if found else f"add a section [sources.{name}]",
            )
    return {name: found[name] for name in wanted} if wanted else found
