"""What is collected before a run: what is new, within bounds, so that a scheduled run computes with today's data."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent.errors import Busy
from agent.settings import Settings
from agent.store.database.engine import Database
from pipelines.errors import PipelineError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.collect.ledger import Ledger
    from agent.collect.passing import Passes, Stop
    from pipelines.inbox.collected import CollectedSource

TRIGGERS = ("schedule", "queue")  # a person who runs something now gets what is there
# Inbox -> what is known of it: a scheduler would else read the headers of all pages there ever were before each run.
_ledgers: dict[Path, dict[str, Ledger]] = {}
logger = logging.getLogger("tidemill.collect")


def collect_before(settings: Settings, database: Database, stop: Stop, trigger: str) -> None:
    """Collect what is new of all remote sources, at most `[collect] before_runs_seconds`. A source that fails, or that
    another process collects, keeps nobody from running with what is there."""
    if trigger not in TRIGGERS:
        return
    # Imported here: most runs collect nothing, and start without what the network needs.
    import asyncio

    from agent.collect.passing import Passes, remote_sources
    from agent.sections.collect import Settings as CollectSettings

    seconds = settings.of(CollectSettings).before_runs_seconds
    sources = remote_sources(settings) if seconds else {}
    if not sources:
        return
    passes = Passes(settings, database, ledgers=_ledgers.setdefault(settings.inbox_path, {}))

    async def collect() -> None:
        await asyncio.gather(*(_guarded(passes, source, seconds, stop) for source in sources.values()))

    asyncio.run(collect())


async def _guarded(passes: Passes, source: CollectedSource, seconds: float, stop: Stop) -> None:
    from agent.collect.coverage import Phase

    try:
        await passes.over(source, seconds=seconds, phases=(Phase.FORWARD,), stop=stop)
    except Busy:
        return  # who holds the lease collects it
    except PipelineError as error:
        logger.warning("source %s is as it was: %s", source.name, error.what)
