"""Runs a cycle on a schedule, one at a time, for as long as the process lives.

APScheduler (memory store) keeps the rhythm; the due time lies in SQL, so that a time missed while the process was down
is caught up once, by the run that follows every start, and logged. A clock that is set neither doubles nor delays a
run: what the wall clock says is compared with the monotonic one.
"""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from agent.clock import Clock, SystemClock
from agent.core import cron
from agent.core.cron import Cron
from agent.errors import AgentError, DatabaseError, UsageError
from agent.store.control import schedules
from agent.store.database.engine import Database
from pipelines.errors import PipelineError
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.schedule")
NAME = "orchestrator"
_LOOK_SECONDS = 0.2
_CLOCK_SET_SECONDS = 5.0  # a smaller difference of the two clocks is their drift
_WRONG_CLOCK = timedelta(minutes=5)  # set back by as much, it was wrong before, not corrected a little
_LATE = timedelta(seconds=1)


@dataclass(frozen=True)
class Rule:
    """An interval in seconds, or a cron expression of five fields in time zone `zone`; one of the two."""

    interval_seconds: float | None = None
    cron: str | None = None
    zone: str = "UTC"

    def __str__(self) -> str:
        where = "" if self.zone == "UTC" else f" {self.zone}"
        return f"cron {self.cron}{where}" if self.cron else f"interval {self.interval_seconds:g} s"


def rule_of(interval_seconds: float | None, cron: str | None, default_seconds: float, zone: str | None = None) -> Rule:
    """The rule that options ask for. Raises UsageError where both are given or one makes no sense."""
    if cron is None and zone is not None:
        raise UsageError("a time zone without a cron expression", where="--cron-timezone", fix="give --cron too")
    if cron is None:
        seconds = default_seconds if interval_seconds is None else interval_seconds
        if not 0.1 <= seconds <= 366 * 86400:
            raise UsageError(
                f"an interval of {seconds:g} s makes no sense", where="--interval-sec", fix="give 0.1 s to a year"
            )
        return Rule(interval_seconds=seconds)
    if interval_seconds is not None:
        raise UsageError("an interval and a cron expression at once", where="--cron", fix="give one of the two")
    rule = Rule(cron=cron, zone="UTC" if zone is None else zone)
    if _trigger(rule, 0).get_next_fire_time(None, SystemClock().now()) is None:
        raise UsageError(
            f"the cron expression {cron!r} never comes true", where="--cron", fix="name a day that its months have"
        )
    return rule


def seconds_awake_or_asleep() -> float:
    """A clock that nobody sets and that goes on while the machine is suspended, where the system has one (Linux):
    else a suspended laptop would look like one whose clock was set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _trigger(rule: Rule, jitter_seconds: float) -> Any:
    if rule.cron is not None:
        from agent.service.cron_trigger import cron_trigger

        return cron_trigger(read_cron(rule.cron), zone_of(rule.zone), jitter_seconds)
    from apscheduler.triggers.interval import IntervalTrigger

    return IntervalTrigger(seconds=rule.interval_seconds, jitter=jitter_seconds or None, timezone="UTC")


def read_cron(text: str) -> Cron:
    """A cron expression. Raises UsageError where it cannot be read."""
    try:
        return cron.read(text)
    except ValueError as error:
        raise UsageError(
            f"cannot read the cron expression {text!r}: {error}",
            where="--cron",
            fix='write five fields, "minute hour day month weekday", such as "0 * * * *" or "30 6 * * mon-fri"',
        ) from error


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises UsageError with the nearest one where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:  # a key that is no name, no file, or no zone
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        fix = f"did you mean {near[0]}?" if near else "give a name such as Europe/Paris or UTC"
        raise UsageError(f"there is no time zone {name!r}", where="--cron-timezone", fix=fix) from error


@dataclass
class Schedule:
    """A rule, and the cycle that it starts. `stop` returns why to end, or None."""

    rule: Rule
    database: Database
    cycle: Callable[[], None]
    stop: Callable[[], str | None]
    jitter_seconds: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    monotonic: Callable[[], float] = seconds_awake_or_asleep
    _scheduler: Any = None
    _job: Any = None
    _last_started_at: datetime | None = None
    _last_started_monotonic: float = 0.0

    def run(self) -> None:
        """Run the cycle now and then by the rule, until asked to stop; a cycle in progress ends cleanly by `stop`."""
        from apscheduler.events import EVENT_JOB_MAX_INSTANCES
        from apscheduler.schedulers.background import BackgroundScheduler

        self._tell_missed()
        offset = self._offset()  # before the first due time: the clock may be set before this thread gets to look
        scheduler = self._scheduler = BackgroundScheduler(timezone="UTC")
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
            self._watch_clocks(offset)
        finally:
            scheduler.shutdown(wait=True)

    def _start(self) -> None:
        if self.stop() is not None:
            return
        now = self.clock.now()
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
        job = self._scheduler.get_job(self._job.id)  # under the scheduler's lock: once it has set the next time
        if job is None or job.next_run_time is None:
            return
        due = job.next_run_time
        try:
            with self.database.writing() as connections:
                schedules.save_due(connections.control, NAME, str(self.rule), due, now)
        except DatabaseError as error:
            logger.warning("the next due time cannot be noted: %s", error.what)

    def _tell_missed(self) -> None:
        with self.database.reading() as connections:
            known = schedules.load_due(connections.control, NAME)
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

    def _watch_clocks(self, offset: timedelta) -> None:
        """Wait to be stopped; when the wall clock is set, move the next run to where it belongs.

        `offset` is what the wall clock was ahead of the other one when the first run was made due."""
        while self.stop() is None:
            time.sleep(_LOOK_SECONDS)
            moved = (self._offset() - offset).total_seconds()
            due = self._job.next_run_time
            if abs(moved) >= _CLOCK_SET_SECONDS:
                offset = self._offset()
                self._job.modify(next_run_time=self._due_after_setting(moved))
                logger.warning("the clock was set by %+.0f s; the next run is at %s", moved, self._job.next_run_time)
            elif due is not None and due < self.clock.now() - _LATE:
                self._scheduler.wakeup()  # it sleeps by a clock that stood still while the machine was suspended

    def _due_after_setting(self, moved: float) -> datetime:
        """When the next run is due now that the clock was set by `moved` seconds.

        An interval goes on as if nothing had happened. A cron time that was passed over is run once, now. One that
        comes again has had its run where the clock was corrected a little; set back by five minutes or more, it had
        been wrong, and the next due time that it shows is the next run.
        """
        now = self.clock.now()
        if self.rule.interval_seconds is not None:
            waited = self.monotonic() - self._last_started_monotonic
            return now + timedelta(seconds=max(0.0, self.rule.interval_seconds - waited))
        if moved > 0:
            due: datetime = self._job.next_run_time
            return due
        last = self._last_started_at
        was_wrong = last is None or -moved >= _WRONG_CLOCK.total_seconds() or last > now + _WRONG_CLOCK
        had = now if last is None or was_wrong else max(now, last)
        after: datetime = _trigger(self.rule, 0).get_next_fire_time(None, had + timedelta(milliseconds=1))
        return after

    def _offset(self) -> timedelta:
        return self.clock.now() - datetime.fromtimestamp(self.monotonic(), tz=self.clock.now().tzinfo)
