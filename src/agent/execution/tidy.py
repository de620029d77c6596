"""What a project that runs by itself does now and then: forget old runs and old outputs, as [retention] says."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.execution.gc import collect
from agent.execution.workspace import Workspace
from agent.store import retention

logger = logging.getLogger("tidemill.tidy")
_EVERY = timedelta(hours=1)


@dataclass
class Tidy:
    """At most once an hour, at the end of a run; kept for the life of the process."""

    _last_at: datetime | None = None

    def __call__(self, workspace: Workspace, now: datetime) -> None:
        """Forget what is older than [retention] says. Raises DatabaseError; nothing is half removed then."""
        if self._last_at is not None and now - self._last_at < _EVERY:
            return
        self._last_at = now
        keep, database = workspace.settings.retention, workspace.database
        with database.writing() as connections:
            before = now - timedelta(days=keep.keep_days)
            runs = retention.forget_runs(connections.control, keep_runs=keep.keep_runs, before=before)
        taken = collect(workspace, keep_releases=keep.keep_releases, keep_days=keep.keep_output_days, now=now)
        if runs or taken.files or taken.snapshots or taken.releases:
            logger.info(
                "tidied up: %s runs, %s old outputs, %s releases, %s files removed",
                runs,
                taken.snapshots,
                len(taken.releases),
                taken.files,
            )
