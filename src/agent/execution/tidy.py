"""What a project that runs by itself does now and then: forget old runs and old outputs, as [retention] says."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.clock import Clock, SystemClock
from agent.execution.gc import collect
from agent.execution.workspace import Workspace
from agent.store import retention
from agent.store.runs import Run

logger = logging.getLogger("tidemill.tidy")
_EVERY = timedelta(hours=1)


@dataclass
class Tidy:
    """At most once an hour a project, at the end of a run; one for the life of the process, whatever threads it has."""

    clock: Clock = field(default_factory=SystemClock)
    _last_at: dict[int, datetime] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, run: Run, workspace: Workspace | None) -> None:
        """Follow a run (see `agent.service.carry_out.AfterRun`)."""
        if workspace is not None:
            self.tidy(workspace)

    def tidy(self, workspace: Workspace) -> None:
        """Forget what is older than [retention] says. Raises DatabaseError; nothing is half removed then."""
        now, keep, database = self.clock.now(), workspace.settings.retention, workspace.database
        if not self._is_due(database.project_id, now):
            return
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

    def _is_due(self, project_id: int, now: datetime) -> bool:
        """Whether an hour has gone by; it counts anew then, so that only one of two threads is told so."""
        with self._lock:
            last_at = self._last_at.get(project_id)
            if last_at is not None and now - last_at < _EVERY:
                return False
            self._last_at[project_id] = now
            return True
