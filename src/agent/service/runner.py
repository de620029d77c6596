"""The background runner: a cycle (one run of the pipeline) each interval, until paused or stopped.

One runner a database, however many servers: whoever starts it holds its lease and schedules; the others show how it
stands and pass on what people ask of them. Work is done in a thread, so that the event loop stays free. Nothing starts
by itself: a runner whose process died is shown as `error` until a person starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict

from agent import identity
from agent import settings as agent_settings
from agent.errors import Conflict, DatabaseError
from agent.runtime.around import After
from agent.runtime.keeper import LeaseKeeper
from agent.sections.runner import Settings as RunnerSettings
from agent.service import cycle
from agent.service.cycle import CycleResult
from agent.service.cycle_schedule import CycleSchedule, check_interval
from agent.service.wiring import around_runs
from agent.settings import Settings
from agent.store.control import runner, runs
from agent.store.database import engine, migrations
from agent.store.database.engine import Database
from agent.store.leases import Lease
from pipelines.errors import PipelineError

logger = logging.getLogger("tidemill.runner")
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.1
_LEASE_SECONDS = 30.0
_LEAVING = "the server was asked to stop"


class Status(TypedDict):
    """How the runner stands. Times are aware UTC; `last_run` is when the newest cycle began."""

    state: str
    running: bool
    last_run: datetime | None
    next_run: datetime | None
    interval_minutes: int
    run_count: int
    error_count: int
    last_error: str | None
    total_forecasts: int
    total_trades: int


class AgentRunner:
    """The background loop of a project: runs the pipeline again and again, and can be paused and triggered by hand.

    `interval_minutes` None keeps what was set last (60 at first).

    `after_run` is called after each cycle, once alerts are sent and old things forgotten, see
    `agent.runtime.around`. Use within one event loop, and `close` at the end.
    """

    def __init__(
        self,
        interval_minutes: int | None = None,
        *,
        settings: Settings | None = None,
        after_run: tuple[After, ...] = (),
    ) -> None:
        if interval_minutes is not None:
            check_interval(interval_minutes)
        self.settings = settings if settings is not None else agent_settings.load()
        self._wanted_interval = interval_minutes
        own = engine.open_engine(self.settings.database_url)
        migrations.ensure_current(own, automatic=self.settings.is_embedded)
        self.database = Database(control=own, project=own)
        self.around = around_runs(*after_run)
        self._row = self._load()
        self._keeper: LeaseKeeper | None = None  # of the runner's lease, while this process holds it
        self._schedule: CycleSchedule | None = None
        self._changing = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._cycles: set[asyncio.Task[CycleResult]] = set()
        self._leaving = asyncio.Event()

    @property
    def interval_minutes(self) -> int:
        """Minutes from one cycle's start to the next one's."""
        return self._wanted_interval if self._wanted_interval is not None else self._row.interval_minutes

    def get_status(self) -> Status:
        """How the runner stands, as this process knows it: its own doings at once, other servers' within a second."""
        row = self._row
        return Status(
            state=row.state,
            running=row.state == "running",
            last_run=row.last_run,
            next_run=row.next_run,
            interval_minutes=self.interval_minutes,
            run_count=row.run_count,
            error_count=row.error_count,
            last_error=row.last_error,
            total_forecasts=row.total_forecasts,
            total_trades=row.total_trades,
        )

    async def attach(self) -> None:
        """Follow the row from now on, once a cycle that was killed is counted. `start` does so by itself."""
        if self._watch is None:
            await asyncio.to_thread(cycle.recover, self.settings, self.database, self.around)
        await self._refresh()
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_watch(), name="runner-watch")

    async def come_back(self) -> None:
        """Go on as before the server ended, where [runner] resume_on_start says so and nobody stopped the runner."""
        await self.attach()
        wanted = self._row.wanted_state
        if wanted == "stopped" or not self.settings.of(RunnerSettings).resume_on_start:
            return
        with contextlib.suppress(Conflict):  # another server was first
            await self.start()
            if wanted == "paused":
                await self.pause()

    async def start(self) -> datetime:
        """Begin: the first cycle comes one interval from now; returns when. Raises Conflict where it has begun."""
        async with self._changing:
            await self.attach()
            lease = await asyncio.to_thread(self._take)
            self._wanted_interval = None
            self._keeper = LeaseKeeper(self.database, "the runner", (lease,), _LEASE_SECONDS).start()
            try:
                row = await asyncio.to_thread(self._load)
                self._schedule = CycleSchedule(self._tick, row.interval_minutes)
                next_run = self._schedule.next_run
                assert next_run is not None
                await self._show("running")
            except BaseException:
                self._unschedule()
                await asyncio.to_thread(self._let_go)
                await asyncio.to_thread(self._write, lease.token, "stopped", None)
                raise
            logger.info("runner started: a cycle each %d minutes, the first at %s", self.interval_minutes, next_run)
            return next_run

    async def stop(self, *, cancel: bool = False) -> None:
        """End: a cycle that is being carried out is finished, or cancelled; on return nothing runs any more.

        Raises Conflict where the runner is stopped.
        """
        row = await self._refresh()
        if row.state == "stopped":
            raise Conflict("the runner is stopped", where="runner", fix="start it first")
        if cancel and row.cycle_run_id is not None:
            await asyncio.to_thread(self._cancel, row.cycle_run_id)
        await asyncio.to_thread(self._want, "stopped")
        await self._until("stopped")

    async def pause(self) -> None:
        """Begin no more cycles until resumed; one that is being carried out goes on. Raises Conflict unless running."""
        await self._move("running", "paused")

    async def resume(self) -> None:
        """Go on: the next cycle comes one interval from now. Raises Conflict unless paused."""
        await self._move("paused", "running")

    async def update_interval(self, minutes: int) -> None:
        """Set the interval, 1 to 10080 minutes; the next cycle comes one interval from now. Raises UsageError."""
        check_interval(minutes)
        await asyncio.to_thread(self._set_interval, minutes)
        self._wanted_interval = None
        await self._refresh()
        await self._follow()
        await self._refresh()

    async def run_once(self, *, wait: bool = False) -> CycleResult:
        """Carry out a cycle now, in whatever state the runner is, and return what came of it; `next_run` stays.

        Raises Conflict while another cycle is being carried out, unless asked to wait for its end. A caller that is
        cancelled does not end the cycle.
        """
        while True:
            try:
                return await asyncio.shield(self._cycle("api"))
            except Conflict:
                if not wait:
                    raise
                await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Leave: stop if this process holds the runner, end what it carries out, close the database."""
        self._leaving.set()
        if self._watch is not None:
            await self._watch  # cancelled, it would leave a thread behind that goes on with the database
        self._unschedule()
        if self._cycles:
            await asyncio.gather(*self._cycles, return_exceptions=True)
        if self._keeper is not None:
            wanted = self._row.wanted_state
            with contextlib.suppress(DatabaseError):
                await self._show("stopped")
                if self.settings.of(RunnerSettings).resume_on_start:
                    await asyncio.to_thread(self._want, wanted)  # for the next start of a server
            await asyncio.to_thread(self._let_go)
        self.database.close()
        for base in [base for base, one in _RUNNERS.items() if one is self]:
            del _RUNNERS[base]

    # --- the schedule, on the event loop ------------------------------------------------------------------------

    def _unschedule(self) -> None:
        if self._schedule is not None:
            self._schedule.end()
            self._schedule = None

    async def _tick(self) -> None:
        """A scheduled cycle. Whatever happens, the schedule goes on."""
        try:
            await self._show(self._row.state)  # with the time after this one
            await asyncio.shield(self._cycle("schedule"))
        except Conflict as busy:
            logger.warning("a scheduled cycle is left out: %s", busy.what)
        except PipelineError as error:
            logger.error("a cycle could not begin: %s", error)

    def _cycle(self, trigger: str) -> asyncio.Task[CycleResult]:
        """A cycle from begin to end in one thread: cancelled between the two, it would leave a run to nobody."""
        task = asyncio.create_task(asyncio.to_thread(self._carry_out, trigger), name="cycle")
        self._cycles.add(task)
        task.add_done_callback(self._cycles.discard)
        return task

    # --- following the row --------------------------------------------------------------------------------------

    async def _keep_watch(self) -> None:
        """Follow what other servers were asked for, and see whether the lease is still ours, once a second."""
        while not await self._leaves_within(_LOOK_SECONDS):
            try:
                await self._refresh()
                await self._follow()
            except DatabaseError as error:
                logger.warning("the runner could not look at its row, and tries again: %s", error)

    async def _leaves_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)
        return self._leaving.is_set()

    async def _follow(self) -> None:
        """Do what the row wants, if this process holds the lease."""
        async with self._changing:
            row = self._row
            if self._keeper is None:
                return
            if row.lease_token != self._token or row.lease_owner is None:
                logger.error("the runner's lease was taken over while this process slept; it is let go here")
                self._unschedule()
                await asyncio.to_thread(self._let_go)
                return
            if row.wanted_state == "stopped" or self._schedule is None:  # whoever asked to stop is heard out
                await self._wind_down()
                return
            if self._schedule.interval != timedelta(minutes=row.interval_minutes):
                self._schedule.change(row.interval_minutes, paused=row.state == "paused")
                await self._show(row.state)
            if row.wanted_state == "paused" and row.state == "running":
                self._schedule.change(row.interval_minutes, paused=True)
                await self._show("paused")
            elif row.wanted_state == "running" and row.state == "paused":
                self._schedule.change(row.interval_minutes, paused=False)
                await self._show("running")

    async def _wind_down(self) -> None:
        """Begin no more cycles; stopped once none is being carried out here (a later look sees that)."""
        self._unschedule()
        if self._cycles:
            await self._show(self._row.state)
            return
        await self._show("stopped")
        await asyncio.to_thread(self._let_go)
        logger.info("runner stopped")

    async def _move(self, before: str, after: str) -> None:
        row = await self._refresh()
        if row.state != before:
            verb = "paused" if after == "paused" else "resumed"
            raise Conflict(f"the runner is {row.state}", where="runner", fix=f"it can be {verb} while it is {before}")
        await asyncio.to_thread(self._want, after)
        await self._until(after)

    async def _until(self, state: str) -> None:
        """Wait until the holder, here or elsewhere, is in `state`, or is no more."""
        while True:
            await self._refresh()
            await self._follow()
            if self._row.state in (state, "stopped", "error"):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _refresh(self) -> runner.Runner:
        self._row = await asyncio.to_thread(self._load)
        return self._row

    async def _show(self, state: str) -> None:
        next_run = None if self._schedule is None else self._schedule.next_run
        await asyncio.to_thread(self._write, self._token, state, next_run)
        await self._refresh()

    # --- the database, in threads -------------------------------------------------------------------------------

    def _load(self) -> runner.Runner:
        with self.database.reading() as connections:
            return runner.load(connections.control)

    def _take(self) -> Lease:
        with self.database.writing() as connections:
            return runner.take(
                connections.control,
                identity.own(),
                _LEASE_SECONDS,
                interval_minutes=self._wanted_interval,
            )

    def _write(self, token: int, state: str, next_run: datetime | None) -> None:
        with self.database.writing() as connections:
            runner.show(connections.control, token, state, next_run)

    @property
    def _token(self) -> int:
        """Of the lease, which this process holds."""
        assert self._keeper is not None
        return self._keeper.held[0].token

    def _let_go(self) -> None:
        """Extend the lease no more; waits for the keeper's thread."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()

    def _want(self, state: str) -> None:
        with self.database.writing() as connections:
            runner.want(connections.control, state)

    def _set_interval(self, minutes: int) -> None:
        with self.database.writing() as connections:
            runner.set_interval(connections.control, minutes)

    def _cancel(self, run_id: int) -> None:
        with contextlib.suppress(Conflict), self.database.writing() as connections:  # it is over
            runs.request_cancel(connections.control, run_id)

    def _carry_out(self, trigger: str) -> CycleResult:
        run = cycle.begin(self.settings, self.database, trigger, self.around)
        result = cycle.perform(
            self.settings,
            self.database,
            run,
            stop=lambda: _LEAVING if self._leaving.is_set() else None,
            around=self.around,
        )
        with contextlib.suppress(DatabaseError):
            self._row = self._load()
        return result


_RUNNERS: dict[Path, AgentRunner] = {}


def get_agent_runner(base: Path | None = None) -> AgentRunner:
    """The runner of this process for the project in folder `base` (default: the current one), made on first use."""
    folder = (base or Path.cwd()).resolve()
    if folder not in _RUNNERS:
        _RUNNERS[folder] = AgentRunner(settings=agent_settings.load(folder))
    return _RUNNERS[folder]
