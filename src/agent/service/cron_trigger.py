"""agent.core.cron as a trigger of APScheduler, whose own one knows neither `fri-mon` nor what daylight saving does."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from apscheduler.triggers.base import BaseTrigger  # noqa: TID253 (this file is imported where a schedule begins)

from agent.core.cron import Cron, next_after


class _CronTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Due times of an expression; times that were missed are not gone through one by one."""

    def __init__(self, cron: Cron, zone: tzinfo, jitter_seconds: float) -> None:
        self._cron, self._zone, self._jitter = cron, zone, jitter_seconds

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first due time after the previous one and not before `now`."""
        reached = now - timedelta(microseconds=1)
        after = reached if previous_fire_time is None else max(previous_fire_time, reached)
        due = next_after(self._cron, after, self._zone)
        found: datetime | None = self._apply_jitter(due, self._jitter, now) if due and self._jitter else due
        return found


def cron_trigger(cron: Cron, zone: tzinfo, jitter_seconds: float) -> Any:
    """A trigger for `cron` in `zone`, up to `jitter_seconds` late."""
    return _CronTrigger(cron, zone, jitter_seconds)
