"""Watching the files source: which files are new or changed, once they are whole, and copies of those behind URLs.

A run is begun by nobody here, as none is after a pass over a remote source: what is noticed is reported, and what
lies elsewhere is copied, so that the next run finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from agent.collect.pace import Pace
from agent.collect.passing import Stop
from agent.settings import Settings
from agent.store import collecting
from agent.store.database.engine import Database
from pipelines.data.file_tables.find import REMOTE_FOLDER
from pipelines.errors import PipelineError
from pipelines.project import source_names_in
from pipelines.settings import Faults, build, read_toml
from pipelines.sources.files import FilesSource
from pipelines.sources.files import Settings as FilesSettings
from pipelines.values import dataclass

_LOOK_SECONDS = 0.5  # how often a stop is looked for


@dataclass(frozen=True)
class Seen:
    """Part -> token: at the newest look, and as last reported."""

    last: Mapping[str, str]
    reported: Mapping[str, str]


@dataclass(frozen=True)
class Look:
    """What a look at the files found: how many parts there are, and those that are new, changed or gone since the
    watching began or the look that reported them. `error`: why there was none."""

    parts: int = 0
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    error: PipelineError | None = None

    @property
    def is_news(self) -> bool:
        """Whether anything differs."""
        return bool(self.new or self.changed or self.gone)


def compare(before: Seen | None, parts: Mapping[str, str]) -> tuple[Seen, Look]:
    """What differs from `before` (None: the first look, which everything is measured by). A part that is new or changed
    counts once two looks in a row find it the same: until then somebody may be writing it."""
    if before is None:
        return Seen(parts, parts), Look(len(parts))
    whole = {name: token for name, token in parts.items() if before.last.get(name) == token}
    new = tuple(sorted(name for name in whole if name not in before.reported))
    changed = tuple(sorted(name for name in whole if before.reported.get(name, whole[name]) != whole[name]))
    gone = tuple(sorted(name for name in before.reported if name not in parts and name not in before.last))
    reported = {name: token for name, token in before.reported.items() if name not in gone}
    return Seen(parts, {**reported, **{name: whole[name] for name in (*new, *changed)}}), Look(
        len(parts), new, changed, gone
    )


def files_source(settings: Settings, only: Iterable[str] = ()) -> FilesSource | None:
    """The files source of a project; None where there is none, or `only` others are wanted. Raises SettingsError."""
    values, wanted = read_toml(settings.file), list(only)
    name = FilesSource.name
    if name not in source_names_in(values) or (wanted and name not in wanted):
        return None
    faults = Faults(str(settings.file))
    made = build(FilesSettings, values["sources"][name], f"sources.{name}", faults)
    faults.raise_if_any()
    assert made is not None
    return FilesSource(made, settings.base, settings.home / REMOTE_FOLDER.name)


async def watch(
    source: FilesSource,
    database: Database,
    pace: Pace,
    *,
    every: float | None,
    stop: Stop,
    told: Callable[[Look], None],
) -> Look:
    """Look at the files, again `every` seconds after each look until `stop` says why; None: once. `told` is called
    after each look; returns the last one."""
    seen: Seen | None = None
    while True:
        try:
            seen, look = await asyncio.to_thread(_look, source, seen)
        except PipelineError as error:
            look = Look(error=error)
        await asyncio.to_thread(_note, database, look, pace.now())
        told(look)
        if every is None:
            return look
        ends = pace.elapsed() + every
        while stop() is None and pace.elapsed() < ends:
            await pace.sleep(min(_LOOK_SECONDS, every))
        if stop() is not None:
            return look


def _look(source: FilesSource, before: Seen | None) -> tuple[Seen, Look]:
    parts = source.probe().parts
    seen, look = compare(before, parts)
    source.bring(parts if before is None else (*look.new, *look.changed))
    return seen, look


def _note(database: Database, look: Look, now: datetime) -> None:
    error = None if look.error is None else look.error.what
    with database.writing() as connections:
        collecting.ensure_collector(connections.project, FilesSource.name)
        collecting.save_pass(
            connections.project,
            FilesSource.name,
            now=now,
            ok_at=now if look.is_news else None,
            error=error,
            offset_seconds=None,
        )
