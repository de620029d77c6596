"""Where a workspace gets its project's code from: this process for a command, a warm process for what lives long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from agent.execution.host.interface import CodeMoved, Host, Origin

logger = logging.getLogger("tidemill.host")


class Hosts(Protocol):
    """Gives out projects, loaded."""

    def lease(self, origin: Origin) -> AbstractContextManager[Host]:
        """The project that `origin` describes, for the length of a block. Raises what loading raises."""


class OneShot:
    """For a command, or a script: in this process, as long as that has in memory what the files say."""

    @contextmanager
    def lease(self, origin: Origin) -> Iterator[Host]:
        """See `Hosts`."""
        from agent.execution.host.local import LocalHost  # a long-lived process never loads it

        try:
            host: Host = LocalHost(origin)
        except CodeMoved as moved:
            logger.debug("%s (%s): loading it in a process of its own", moved.what, moved.where)
            from agent.execution.host.child import loaded

            host = loaded(origin)
        try:
            yield host
        finally:
            host.close()
