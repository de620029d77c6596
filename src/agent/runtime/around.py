"""What goes before a run and what follows it: the values they are given, and how they are called.

What one of them raises is logged: it stops neither the run nor the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from agent.settings import Settings
from agent.store.control.runs import Run
from agent.store.database.engine import Database
from pipelines.errors import PipelineError
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.service")
Stop = Callable[[], str | None]  # why to end now, or None


@dataclass(frozen=True)
class Ended:
    """A run that is over, with what those who follow it need.

    Where the project could be opened, `settings` and `database` are its own and `releasing` names its components that
    make releases; else they are the server's and `releasing` is None.
    """

    run: Run
    settings: Settings
    database: Database
    releasing: frozenset[str] | None = None


Before = Callable[[Settings, Database, Stop, str], None]  # with the project's settings and database, and the trigger
After = Callable[[Ended], None]


@dataclass(frozen=True)
class Around:
    """What goes before each run and what follows it, in order."""

    before: tuple[Before, ...] = ()
    after: tuple[After, ...] = ()

    def prepare(self, settings: Settings, database: Database, stop: Stop, trigger: str) -> None:
        """Do what goes before a run that `trigger` asked for."""
        for step in self.before:
            _guarded("what goes before a run", partial(step, settings, database, stop, trigger))

    def follow(self, ended: Ended) -> None:
        """Do what follows a run."""
        for step in self.after:
            _guarded(f"what follows run {ended.run.id}", partial(step, ended))


def _guarded(what: str, step: Callable[[], None]) -> None:
    try:
        step()
    except PipelineError as error:
        logger.error("%s failed: %s", what, error)
    except Exception:
        logger.exception("%s failed", what)
