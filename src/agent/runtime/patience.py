"""Waiting for a database that is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from agent.errors import DatabaseUnavailable

logger = logging.getLogger("tidemill.database")
_T = TypeVar("_T")


def retry_while_unavailable(
    record: Callable[[], _T], what: str, *, seconds: float, stop: Callable[[], str | None]
) -> _T:
    """The result of `record`, tried again while the database does not answer: what it records has happened, and the
    lease may outlive the fault. `record` must bear to be repeated, since the answer to a COMMIT may be lost.

    Raises DatabaseUnavailable when the database has not come back after `seconds`, the time of a lease, or when it is
    time to stop.
    """
    until, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return record()
        except DatabaseUnavailable as gone:
            if time.monotonic() + pause > until or stop() is not None:
                raise
            logger.warning("%s, and the database does not answer (%s); trying again", what, gone.what)
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
