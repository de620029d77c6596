"""The monitor: a thread that looks at the account between cycles, and at once where a person left a KILL file.

Loop and monitor take turns: each writes under the account's one lease, and each leaves rows that the other one reads.
What the monitor does is in steps.monitoring; this file has its time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from agent.errors import AgentError, LeaseLost

log = logging.getLogger("tidemill.monitor")
LOOK_SECONDS = 1.0  # how often a KILL file is looked for


class Monitor:
    """Calls `tick` each `seconds`, and at once where `is_urgent`, until the block is left or another process has the
    account. tick: says whether everything is to be closed, which ends the monitor: the loop closes it."""

    def __init__(
        self,
        tick: Callable[[], bool],
        is_urgent: Callable[[], bool],
        seconds: float,
        turn: AbstractContextManager[object],
    ) -> None:
        self._tick, self._is_urgent, self._seconds, self._turn = tick, is_urgent, seconds, turn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="trade monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether it looks."""
        return self._thread.is_alive()

    def _keep(self) -> None:
        last = time.monotonic()
        while not self._over.wait(min(LOOK_SECONDS, self._seconds)):
            if time.monotonic() - last < self._seconds and not self._is_urgent():
                continue
            last = time.monotonic()
            try:
                with self._turn:
                    if not self._over.is_set() and self._tick():
                        return
            except LeaseLost:
                return  # the loop learns it from its next step
            except AgentError as error:
                log.warning("the monitor could not look, and tries again: %s", error.what)
