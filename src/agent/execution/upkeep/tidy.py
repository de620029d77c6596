"""What a project does now and then at the end of a run: forget old runs and old outputs, as [retention] says."""

from __future__ import annotations

import logging

from agent.clock import Clock
from agent.runtime import retention
from agent.runtime.around import Ended
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.tidy")


@dataclass(frozen=True)
class Upkeep:
    """Follows a run (see `agent.runtime.around`), at most once an hour per project, by the database's clock: one host's
    may be wrong, and what is removed is gone. `clock` is another one to go by."""

    clock: Clock | None = None

    def __call__(self, ended: Ended) -> None:
        """Forget what is older than [retention] says. Raises DatabaseError; nothing is half removed then."""
        now = self.clock.now() if self.clock is not None else ended.database.now()
        keep = ended.settings.retention
        if ended.releasing is None or not retention.is_due(ended.database, now):
            return
        from agent.execution.upkeep.gc import collect  # once an hour: other runs do not load it

        runs = retention.forget_runs(ended.settings, ended.database, now)
        taken = collect(
            ended.settings,
            ended.database,
            ended.releasing,
            keep_releases=keep.keep_releases,
            keep_days=keep.keep_output_days,
            now=now,
        )
        if runs or taken.files or taken.snapshots or taken.releases:
            logger.info(
                "tidied up: %s runs, %s old outputs, %s releases, %s files removed",
                runs,
                taken.snapshots,
                len(taken.releases),
                taken.files,
            )
