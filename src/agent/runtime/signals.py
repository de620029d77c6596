"""How a process is asked to stop: SIGTERM, or Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPED = "the process was asked to stop"


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], str | None]]:
    """SIGTERM and SIGINT ask to stop cleanly; a second one leaves at once, which is safe at any point.

    One that follows within a second is the same request: timeout(1) and terminals signal both process and group.
    """
    asked: list[float] = []

    def handle(number: int, _frame: object) -> None:
        now = time.monotonic()
        if asked and now - asked[0] < 1.0:
            return
        if asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        asked.append(now)
        print("stopping; once more to leave at once", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: STOPPED if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
