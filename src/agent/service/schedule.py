"""Runs a cycle on a schedule, one at a time, for as long as the process lives.

APScheduler (memory store) keeps the rhythm; the due time lies in SQL, so that a time missed while the process was down
is caught up once, by the run that follows every start, and told. A clock that is set neither doubles nor delays a run:
what the wall clock says is compared with the monotonic one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agent.clock import Clock, SystemClock
from agent.errors import AgentError, DatabaseError, UsageError
from agent.store import schedules
from agent.store.engine import Database
from pipelines.errors import PipelineError

logger = logging.getLogger("tidemill.schedule")
NAME = "orchestrator"
_LOOK_SECONDS = 0.2
_CLOCK_SET_SECONDS = 5.0  # a smaller difference of the two clocks is their drift


@dataclass(frozen=True)
class Rule:
    """An interval in seconds, or a cron expression of five fields (UTC); one of the two."""

    interval_seconds: float | None = None
    cron: str | None = None

    def __str__(self) -> str:
        return f"cron {self.cron}" if self.cron else f"interval {self.interval_seconds:g} s"


def rule_of(interval_seconds: float | None, cron: str | None, default_seconds: float) -> Rule:
    """The rule that options ask for. Raises UsageError where both are given or one makes no sense."""
    if cron is None:
        seconds = default_seconds if interval_seconds is None else interval_seconds
        if not 0.1 <= seconds <= 366 * 86400:
            raise UsageError(
                f"an interval of {seconds:g} s makes no sense", where="--interval-sec", mend="give 0.1 s to a year"
            )
        return Rule(interval_seconds=seconds)
    if interval_seconds is not None:
        raise UsageError("an interval and a cron expression at once", where="--cron", mend="give one of the two")
    rule = Rule(cron=cron)
    _trigger(rule, 0)
    return rule


def _trigger(rule: Rule, jitter_seconds: float) -> Any:
    jitter = jitter_seconds or None
    if rule.cron is None:
        from apscheduler.triggers.interval import IntervalTrigger

        return IntervalTrigger(seconds=rule.interval_seconds, jitter=jitter, timezone="UTC")
    from apscheduler.triggers.cron import CronTrigger

    fields = rule.cron.split()
    try:
        minute, hour, day, month, weekday = fields
        return CronTrigger(
            minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, jitter=jitter, timezone="UTC"
        )
    except ValueError as error:
        raise UsageError(
            f"cannot read the cron expression {rule.cron!r}: {error}",
            where="--cron",
            mend='write five fields, "minute hour day month weekday", such as "0 * * * *" or "30 6 * * mon-fri"',
        ) from error


@dataclass
class Schedule:
    """A rule, and the cycle that it starts. `stop` returns why to end, or None."""

    rule: Rule
    database: Database
    cycle: Callable[[], None]
    stop: Callable[[], str | None]
    jitter_seconds: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    monotonic: Callable[[], float] = time.monotonic
    _job: Any = None
    _last_started_at: datetime | None = None
    _last_started_monotonic: float = 0.0
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Run the cycle now and then by the rule, until told to stop; a cycle in progress ends cleanly by `stop`."""
        from apscheduler.events import EVENT_JOB_MAX_INSTANCES
        from apscheduler.schedulers.background import BackgroundScheduler

        self._tell_missed()
        scheduler = BackgroundScheduler(timezone="UTC")
        # Without a limit on lateness: a late run is better than none, and coalescing makes one of several.
        self._job = scheduler.add_job(
            self._start,
            _trigger(self.rule, self.jitter_seconds),
            next_run_time=self.clock.now(),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        scheduler.add_listener(self._tell_overlap, EVENT_JOB_MAX_INSTANCES)
        logger.info("scheduled: %s; the first run is now", self.rule)
        scheduler.start()
        try:
            self._watch_clocks()
        finally:
            scheduler.shutdown(wait=True)

    def _start(self) -> None:
        now = self.clock.now()
        if self._last_started_at is not None and self.rule.cron is not None and now <= self._last_started_at:
            logger.warning("the clock was set back to before the last run: this time has had its run")
            return
        self._last_started_at, self._last_started_monotonic = now, self.monotonic()
        self._note(now)
        try:
            self.cycle()
        except AgentError as error:
            logger.error("this run did not go on: %s", error)
        except PipelineError as error:
            logger.error("this run could not start: %s", error)
        except Exception:
            logger.exception("this run ended by a fault of the program; the schedule goes on")

    def _note(self, now: datetime) -> None:
        due = self._job.next_run_time
        if due is None:
            return
        try:
            with self.database.writing() as connections:
                schedules.save_due(connections.project, NAME, str(self.rule), due, now)
        except DatabaseError as error:
            logger.warning("the next due time cannot be noted: %s", error.what)

    def _tell_missed(self) -> None:
        with self.database.reading() as connections:
            known = schedules.load_due(connections.project, NAME)
        if known is not None and known.rule == str(self.rule) and known.next_due_at < self.clock.now():
            logger.warning(
                "a run was due at %s UTC while no scheduler ran; it is caught up now, once",
                f"{known.next_due_at:%Y-%m-%d %H:%M:%S}",
            )

    def _tell_overlap(self, _event: object) -> None:
        took = self.monotonic() - self._last_started_monotonic
        logger.warning(
            "a run is due and the one before is not over after %.0f s: it is left out (%s is shorter than a run)",
            took,
            self.rule,
        )

    def _watch_clocks(self) -> None:
        """Wait to be stopped; when the wall clock is set, move the next run to where it would have been."""
        offset = self._offset()
        while self.stop() is None:
            time.sleep(_LOOK_SECONDS)
            moved = (self._offset() - offset).total_seconds()
            if abs(moved) < _CLOCK_SET_SECONDS:
                continue
            offset = self._offset()
            if self.rule.interval_seconds is not None:
                waited = self.monotonic() - self._last_started_monotonic
                remaining = max(0.0, self.rule.interval_seconds - waited)
                self._job.modify(next_run_time=self.clock.now() + timedelta(seconds=remaining))
            logger.warning("the clock was set by %+.0f s; the next run is at %s", moved, self._job.next_run_time)

    def _offset(self) -> timedelta:
        return self.clock.now() - datetime.fromtimestamp(self.monotonic(), tz=self.clock.now().tzinfo)
