"""The monitor: a thread that looks at the account between cycles, and at once where a person left a KILL file.

Loop and monitor take turns: each writes under the account's one lease, and each leaves rows that the other one reads.
What the monitor does is in steps.monitoring; this file has its time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, Self

from agent.errors import AgentError, LeaseLost

log = logging.getLogger("tidemill.monitor")
LOOK_SECONDS = 1.0  # how often a KILL file is looked for


class Turn(Protocol):
    """A lock."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


class Monitor:
    """Calls `tick` each `seconds`, and at once where `is_urgent`, until the block is left or another process has the
    account. tick: says whether everything is to be closed, which ends the monitor: the loop closes it. late: called
    where the loop has kept its `turn` for `patience` seconds. after: called after each look, out of turn."""

    def __init__(
        self,
        tick: Callable[[], bool],
        is_urgent: Callable[[], bool],
        seconds: float,
        turn: Turn,
        late: Callable[[], None],
        patience: float,
        after: Callable[[], None],
    ) -> None:
        self._tick, self._is_urgent, self._seconds = tick, is_urgent, seconds
        self._turn, self._late, self._patience = turn, late, min(patience, threading.TIMEOUT_MAX)
        self._after = after
        self._is_gone = False
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

    @property
    def is_gone(self) -> bool:
        """Whether it ended by a fault of its own: nobody looks between two cycles any more."""
        return self._is_gone

    def _keep(self) -> None:
        try:
            self._look()
        except Exception:
            log.exception("the monitor ended by a fault of its own")
            self._is_gone = True

    def _look(self) -> None:
        last = time.monotonic()
        while not self._over.wait(min(LOOK_SECONDS, self._seconds)):
            if time.monotonic() - last < self._seconds and not self._is_urgent():
                continue
            last = time.monotonic()
            try:
                is_over = self._is_over_now()
                self._after()
                if is_over:
                    return
            except LeaseLost:
                return  # the loop learns it from its next step
            except AgentError as error:
                log.warning("the monitor could not look, and tries again: %s", error.what)

    def _is_over_now(self) -> bool:
        """One look in turn; whether it was the last one."""
        if not self._turn.acquire(timeout=self._patience):
            self._late()
            return False
        try:
            return self._over.is_set() or self._tick()
        finally:
            self._turn.release()
