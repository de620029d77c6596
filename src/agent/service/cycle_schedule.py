"""When the background runner's cycles are due: an interval job of APScheduler on the running event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.clock import SystemClock
from agent.errors import UsageError

LOW_MINUTES, HIGH_MINUTES = 1, 10080  # a minute to a week
_JOB = "cycle"


def check_interval(minutes: int) -> None:
    """Raise UsageError unless it is a whole number of minutes, one minute to a week."""
    if type(minutes) is not int or not LOW_MINUTES <= minutes <= HIGH_MINUTES:
        raise UsageError(
            f"interval_minutes = {minutes!r} is out of bounds",
            where="runner",
            fix=f"choose a whole number of minutes, {LOW_MINUTES} to {HIGH_MINUTES}",
        )


class CycleSchedule:
    """Calls `tick` each `minutes`, the first time one interval from now, until ended. Never two at once."""

    def __init__(self, tick: Callable[[], Awaitable[None]], minutes: int) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._job: Any = self._scheduler.add_job(
            tick,
            _trigger(minutes),
            id=_JOB,
            max_instances=1,
            coalesce=True,  # a time missed while the machine slept is made up for once
            misfire_grace_time=HIGH_MINUTES * 60,
        )
        self._scheduler.start()

    @property
    def interval(self) -> timedelta:
        """From one cycle's start to the next one's."""
        found: timedelta = self._job.trigger.interval
        return found

    @property
    def next_run(self) -> datetime | None:
        """When the next cycle is due; None while paused."""
        due: datetime | None = self._job.next_run_time
        return due

    def change(self, minutes: int, *, paused: bool) -> None:
        """Begin again with another interval: the next cycle comes one interval from now, or none does while paused."""
        self._job.reschedule(_trigger(minutes))
        if paused:
            self._job.pause()

    def end(self) -> None:
        """Begin no more cycles; one that is being carried out goes on."""
        self._scheduler.shutdown(wait=False)


def _trigger(minutes: int) -> Any:
    from apscheduler.triggers.interval import IntervalTrigger

    first = SystemClock().now() + timedelta(minutes=minutes)
    return IntervalTrigger(minutes=minutes, timezone=UTC, start_date=first)
