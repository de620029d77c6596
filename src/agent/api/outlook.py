"""What a run would do now, for the pages: asked for again every few seconds, and never waited for long.

It takes the project's code, settings and files as they are now, as `agent plan` and the dashboard do: what the last run
left says nothing of what changed since. Code may take its time to load, or hang: a page is shown all the same, and says
that this is not known yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import field

from agent.core.model import State, Step
from pipelines.errors import PipelineError
from pipelines.values import dataclass

_KEPT_SECONDS, _WAIT_SECONDS = 5.0, 1.0


@dataclass(frozen=True)
class Foreseen:
    """Component -> what a run would do with it, in their order; None where that is not known, and why. `sentences`:
    the same in words, from the first cause on."""

    steps: Mapping[str, Step] | None
    why_not: str = ""
    sentences: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Outlook:
    """The newest answer, or the one that is being found."""

    def __init__(self) -> None:
        self._asked_at = 0.0
        self._states: Mapping[str, State] = {}
        self._answer: Future[Foreseen] | None = None

    async def foreseen(self, states: Mapping[str, State], begin: Callable[[], Future[Foreseen]]) -> Foreseen:
        """What comes of `begin`, or came of it a few seconds ago for the same states."""
        answer = self._answer
        if answer is None or (answer.done() and not self._holds(states)):
            try:
                answer = begin()
            except PipelineError as error:
                return Foreseen(None, str(error))
            self._asked_at, self._states, self._answer = time.monotonic(), states, answer
        await asyncio.wait({asyncio.wrap_future(answer)}, timeout=_WAIT_SECONDS)
        if not answer.done():
            return Foreseen(None, "The project's code has not been read yet: load the page again in a moment.")
        return answer.result()

    def _holds(self, states: Mapping[str, State]) -> bool:
        return states == self._states and time.monotonic() - self._asked_at < _KEPT_SECONDS
