"""Collecting for ever, or once: each source at its own pace, so that one venue that is down holds up no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.collect.collector import Passed
from agent.collect.passing import Passes, Stop
from agent.collect.sockets import Ears
from agent.errors import Busy
from pipelines.errors import PipelineError
from pipelines.inbox.collected import CollectedSource

_LOOK_SECONDS = 0.5  # how often a stop is looked for
logger = logging.getLogger("tidemill.collect")


@dataclass(frozen=True)
class Result:
    """How a pass over a source went."""

    source: str
    passed: Passed | None
    error: PipelineError | None


Told = Callable[[Result], None]


async def collect(
    passes: Passes, sources: Mapping[str, CollectedSource], *, every: float | None, stop: Stop, told: Told
) -> list[Result]:
    """Pass over all sources at once, again `every` seconds after each until `stop` says why; None: once. `told` is
    called after each pass; returns the last result of each source."""
    return list(await asyncio.gather(*(_of_one(passes, source, every, stop, told) for source in sources.values())))


async def _of_one(passes: Passes, source: CollectedSource, every: float | None, stop: Stop, told: Told) -> Result:
    async with Ears(source, passes.keep, passes.pace) as ears:
        return await _again_and_again(passes, source, every, stop, told, ears)


async def _again_and_again(
    passes: Passes, source: CollectedSource, every: float | None, stop: Stop, told: Told, ears: Ears
) -> Result:
    while True:
        ears.wanted.clear()
        try:
            result = Result(source.name, await passes.over(source, stop=stop), None)
        except PipelineError as error:
            result = Result(source.name, None, error)
            if not isinstance(error, Busy):
                logger.warning("source %s: %s", source.name, error)
        told(result)
        if every is None:
            return result
        ears.follow()
        ends = passes.pace.elapsed() + every
        while passes.pace.elapsed() < ends and not ears.wanted.is_set():
            if stop() is not None:
                return result
            await passes.pace.sleep(_LOOK_SECONDS)
