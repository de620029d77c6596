"""One attempt at one component: take the lease, decide again, compute, and record success or failure."""

from __future__ import annotations

import logging
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from agent import identity
from agent.clock import Clock
from agent.core.backoff import attempt_delay_seconds, next_retry_at
from agent.core.explain import sentence
from agent.core.model import Compute, Current, State, Step
from agent.core.staleness import can_carry_over, mark_in, redo_keys
from agent.errors import Busy, DatabaseError, DatabaseUnavailable, LeaseLost, NotFound
from agent.execution.commit import Success, commit_success
from agent.execution.executors import AttemptFailed, Cancelled, Executor
from agent.execution.runlog import RunLog
from agent.execution.survey import Survey
from agent.execution.work import Task
from agent.execution.workspace import Workspace
from agent.runtime.keeper import keep_run
from agent.runtime.patience import patiently
from agent.runtime.transient import is_transient
from agent.store import attempts, catalog, leases, projections, runs, state
from agent.store.engine import Connections
from agent.store.leases import Lease
from pipelines.component import Pending
from pipelines.snapshot import Snapshot

_T = TypeVar("_T")
logger = logging.getLogger("tidemill.attempt")
_BUSY_POLL_SECONDS = 0.5
_PENDING_LIMIT = 100_000

Look = Callable[[], tuple[Mapping[str, State], Current, Step]]


@dataclass(frozen=True)
class Begun:
    """An attempt whose lease is held and whose row is written. `before` is the state it started from."""

    name: str
    number: int
    attempt_id: int
    token: int
    before: State
    current: Current
    step: Compute


@dataclass(frozen=True)
class Result:
    """What came of an attempt."""

    seconds: float
    rows: int | None = None
    version: str | None = None
    is_cut_off: bool = False
    error: str | None = None
    trace: str = ""
    may_retry: bool = False


@dataclass
class Attempts:
    """Makes attempts within one run."""

    workspace: Workspace
    clock: Clock
    log: RunLog
    survey: Survey
    executor: Executor
    inline: Executor
    wait: bool
    stop: Callable[[], str | None]

    def begin(self, name: str, number: int, look: Look) -> Begun | tuple[Step, State]:
        """Take the lease and open the attempt in one transaction; or the step and state where nothing is to compute.

        `look` reads and decides outside of it. Where the rows it read have changed by then (a mark, another process's
        success) it looks again, so that what is done follows from what is true under the lease. Raises Busy when
        another process holds the component, unless told to wait for it; Cancelled while it waits.
        """
        told = False
        while True:
            states, current, step = look()
            if not isinstance(step, Compute):
                return step, states[name]
            try:
                begun = self._open(name, number, states, current, step)
            except Busy as busy:
                if not self.wait:
                    raise
                if not told:
                    told = True
                    logger.warning("%s; waiting for it", busy.what)
                self._wait()
                continue
            if begun is not None:
                return begun

    def _wait(self) -> None:
        """A moment, in which the run is kept alive and may be cancelled."""
        time.sleep(_BUSY_POLL_SECONDS)
        with self.log.writing() as connections:
            self.log.flush(connections)
            leases.extend(connections.control, self.log.lease.name, self.log.lease.token, self.log.lease_seconds)
            is_cancelled = runs.load_run(connections.control, self.log.run_id).cancel_requested
        why = "the run was cancelled" if is_cancelled else self.stop()
        if why is not None:
            raise Cancelled(why)

    def _open(self, name: str, number: int, seen: Mapping[str, State], current: Current, step: Compute) -> Begun | None:
        """The attempt, begun; None where the rows that were decided from have changed."""
        sys.audit("tidemill.point", "attempt.opening")
        with self.log.writing() as connections:
            # The lease first: it locks the row, so that no mark comes in between what is read and what is cleared.
            lease = leases.take(
                connections.project,
                leases.of_component(name),
                self.log.owner,
                self.workspace.settings.executor.lease_seconds,
            )
            if lease.took_over_from is not None:
                self._close_abandoned(connections, name, lease.token, lease.took_over_from)
            upstream = self.workspace.specs[name].upstream
            states = state.load_states(connections.project, (name, *upstream))
            if any(_essence(states, one, name) != _essence(seen, one, name) for one in (name, *upstream)):
                leases.release(connections.project, lease.name, lease.token)
                return None
            state.begin_attempt(connections.project, name, lease.token)
            self.log.add(
                "EXECUTING",
                {
                    "component": name,
                    "phase": "started",
                    "number": number,
                    "token": lease.token,
                    "codes": [reason.code for reason in step.reasons],
                    "reasons": [sentence(name, reason) for reason in step.reasons],
                },
            )
            self.log.flush(connections)
            attempt_id = attempts.start_attempt(
                connections.control,
                run_id=self.log.run_id,
                component=name,
                number=number,
                token=lease.token,
                owner=self.log.owner,
                reasons=step.reasons,
                now=self.clock.now(),
            )
            sys.audit("tidemill.point", "attempt.written")
        sys.audit("tidemill.point", "attempt.opened")
        return Begun(name, number, attempt_id, lease.token, states[name], current, step)

    def carry_out(self, begun: Begun) -> Result:
        """Compute and record. After a transient failure the pause before the next try is over on return.

        Raises Cancelled when the run is to end, LeaseLost when another process took over meanwhile.
        """
        workspace, started = self.workspace, time.monotonic()
        settings, name = workspace.settings, begun.name
        component = workspace.project.components[name]
        executor = self.executor if component.heavy else self.inline
        own = Lease(leases.of_component(name), begun.token)
        heart = keep_run(
            workspace.database,
            self.log.run_id,
            own,
            self.log.lease,
            seconds=settings.executor.lease_seconds,
            what=name,
        )
        try:
            with heart:
                old = self._previous(begun)
                done = executor.run(
                    self._task(begun, old),
                    component,
                    timeout=settings.timeout_of(name),
                    stop=lambda: heart.reason_to_stop() or self.stop(),
                    progress=lambda done, total, what: self._progress(name, done, total, what),
                )
                sys.audit("tidemill.point", "attempt.computed")
                success = Success(
                    name,
                    begun.attempt_id,
                    begun.token,
                    begun.before,
                    begun.current,
                    done,
                    time.monotonic() - started,
                    workspace.is_historical,
                    as_of=self._as_of() if component.is_release else None,
                )
                snapshot_id = self._patiently(
                    lambda: commit_success(workspace, self.log, success, old), f"{name} is computed"
                )
                if snapshot_id is not None:
                    self.survey.remember(snapshot_id, done.snapshot)
        except AttemptFailed as error:
            return self._fail(begun, error, time.monotonic() - started)
        except Cancelled as error:
            if own.name in heart.lost:
                raise _lost(begun) from error
            self._abandon(begun, error.what)
            raise
        except (LeaseLost, DatabaseUnavailable):
            raise
        except Exception as error:  # of the lake, the catalog, a row refused: this attempt's fault, not the run's
            failed = AttemptFailed(error, trace=traceback.format_exc(), transient=is_transient(error))
            return self._fail(begun, failed, time.monotonic() - started)
        version = done.snapshot.version
        return Result(success.seconds, rows=done.snapshot.rows, version=version, is_cut_off=success.is_cut_off)

    def _previous(self, begun: Begun) -> Snapshot | None:
        """The output before this attempt; None where there is none or its rows were deleted by hand."""
        snapshot_id = begun.before.output_snapshot_id
        try:
            return None if snapshot_id is None else self.survey.snapshot(snapshot_id)
        except NotFound:
            logger.warning("the catalog has lost the output of %s: it is recomputed in full", begun.name)
            return None

    def _close_abandoned(self, connections: Connections, name: str, token: int, owner: str) -> None:
        """Close what a dead holder left running, and set the mark again that its attempt had started from."""
        closed = attempts.abandon_attempts(connections, name, token, self.clock.now())
        for attempt in closed:
            mark = mark_in(attempt.reasons) if attempt.status == "crashed" else None
            if mark is not None:
                state.mark_dirty(connections.project, name, mark[0], mark[1])
        if closed:
            self.log.add(
                "EXECUTING",
                {
                    "component": name,
                    "phase": "taken over",
                    "from": identity.describe(owner),
                    "attempts": [attempt.id for attempt in closed],
                },
            )

    def _task(self, begun: Begun, old: Snapshot | None) -> Task:
        name, before = begun.name, begun.before
        component = self.workspace.project.components[name]
        carry = old is not None and can_carry_over(begun.step.reasons)
        return Task(
            component=name,
            settings=self.workspace.project.settings[name],
            inputs={up: self.survey.snapshot(begun.current.inputs[up].snapshot_id) for up in component.upstream},
            previous=old if carry else None,
            previous_inputs={
                up: self.survey.snapshot(record.snapshot_id)
                for up, record in before.inputs.items()
                if up in component.upstream and carry
            },
            redo=redo_keys(begun.step.reasons, before, begun.current) if carry else frozenset(),
            attempt=f"t{begun.token}",
            pending=self._pending() if component.settle is not None else (),
        )

    def _pending(self) -> tuple[Pending, ...]:
        with self.workspace.database.reading() as connections:
            return tuple(projections.pending_predictions(connections.project, limit=_PENDING_LIMIT))

    def _progress(self, name: str, done: int, total: int, what: str) -> None:
        for watch in self.log.watchers:
            watch("PROGRESS", {"component": name, "done": done, "total": total, "what": what})

    def _as_of(self) -> datetime | None:
        """The newest tick: the present of historical data."""
        readers = [name for name, spec in self.workspace.specs.items() if spec.reads_sources]
        with self.workspace.database.reading() as connections:
            return catalog.newest_watermark(connections.project, readers)

    def _fail(self, begun: Begun, error: AttemptFailed, seconds: float) -> Result:
        """Record a failed attempt; pause where it may be tried again. Raises Cancelled where the run ends meanwhile."""
        settings, name = self.workspace.settings, begun.name
        last = not error.transient or begun.number >= settings.executor.attempts
        now = self.clock.now()
        retry_at = next_retry_at(
            begun.before.consecutive_failures + 1,
            now,
            base_seconds=settings.schedule.retry_base_seconds,
            cap_seconds=settings.schedule.retry_cap_seconds,
            draw=random.random(),
        )

        def record() -> None:
            with self.log.writing() as connections:
                if not state.commit_failure(
                    connections.project,
                    name,
                    begun.token,
                    now=now,
                    error=str(error),
                    next_retry_at=retry_at if last else None,  # the next try of this run does not wait for it
                ):
                    if attempts.attempt_status(connections.control, begun.attempt_id) != "failed":
                        raise _lost(begun)
                    return  # recorded by an earlier try, whose answer was lost with the connection
                self._mark_again(connections, begun)
                attempts.finish_attempt(
                    connections.control,
                    begun.attempt_id,
                    status="failed",
                    now=now,
                    error=str(error),
                    traceback=error.trace,
                    seconds=seconds,
                    peak_memory_bytes=error.peak_memory_bytes,
                )
                self.log.add(
                    "EXECUTING",
                    {
                        "component": name,
                        "phase": "failed",
                        "attempt": begun.attempt_id,
                        "token": begun.token,
                        "number": begun.number,
                        "error": str(error),
                        "transient": error.transient,
                        "seconds": round(seconds, 3),
                    },
                )

        sys.audit("tidemill.point", "attempt.failed")
        self._patiently(record, f"{name} failed")
        sys.audit("tidemill.point", "attempt.failure_recorded")
        if not last:
            self._pause(
                attempt_delay_seconds(begun.number, random.random(), base_seconds=settings.executor.retry_seconds)
            )
        return Result(seconds, error=str(error), trace=error.trace, may_retry=not last)

    def _abandon(self, begun: Begun, why: str) -> None:
        """Close an attempt that was ended from outside; the component stays stale."""
        sys.audit("tidemill.point", "attempt.abandoning")
        payload = {"component": begun.name, "phase": "cancelled", "token": begun.token, "error": why}
        try:
            with self.log.writing() as connections:
                now = self.clock.now()
                if state.give_up_attempt(connections.project, begun.name, begun.token):
                    self._mark_again(connections, begun)
                attempts.finish_attempt(connections.control, begun.attempt_id, status="cancelled", now=now, error=why)
                self.log.add("EXECUTING", payload)
        except DatabaseError as gone:
            logger.warning("cannot give %s back (%s): whoever runs next takes it over", begun.name, gone.what)
        sys.audit("tidemill.point", "attempt.abandoned")

    def _patiently(self, record: Callable[[], _T], what: str) -> _T:
        return patiently(record, what, seconds=self.workspace.settings.executor.lease_seconds, stop=self.stop)

    def _mark_again(self, connections: Connections, begun: Begun) -> None:
        """An attempt clears the mark when it starts; one that brought nothing gives it back."""
        mark = mark_in(begun.step.reasons)
        if mark is not None:
            state.mark_dirty(connections.project, begun.name, mark[0], mark[1])

    def _pause(self, seconds: float) -> None:
        """Wait before another try, the run kept alive. Raises Cancelled where it is to end instead."""
        until = time.monotonic() + seconds
        with keep_run(self.workspace.database, self.log.run_id, self.log.lease, seconds=self.log.lease_seconds) as beat:
            while time.monotonic() < until:
                why = beat.reason_to_stop() or self.stop()
                if why is not None:
                    raise Cancelled(why)
                time.sleep(min(0.1, max(0.0, until - time.monotonic())))


def _lost(begun: Begun) -> LeaseLost:
    return LeaseLost(
        f"the attempt at {begun.name} is over: its lease was taken over while this process slept",
        where=f"{begun.name}, token {begun.token}",
        mend="nothing to do: the process that took over computes it",
    )


def _essence(states: Mapping[str, State], name: str, component: str) -> object:
    """What a decision about `component` was read from in the row of `name`: all but the lease; of an upstream its
    output alone."""
    one = states[name]
    if name != component:
        return one.output_snapshot_id
    return replace(one, lease_owner=None, lease_token=0, lease_expires_at=None)
