"""An attempt at a component that is open (see agent.execution.opening): compute, and record success or failure."""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from agent.clock import Clock
from agent.core import events
from agent.core.backoff import attempt_delay_seconds, next_retry_at
from agent.core.events import Failed, Progress
from agent.core.model import Current
from agent.core.record import promise_text
from agent.core.results import as_read, is_pure
from agent.core.staleness import can_carry_over, mark_in, redo_keys
from agent.errors import DatabaseError, DatabaseUnavailable, LeaseLost, NotFound
from agent.execution.commit import Recorded, Success, commit_success
from agent.execution.computing import Computer
from agent.execution.host.failures import failure_of
from agent.execution.host.interface import AttemptFailed, Cancelled, CodeMoved, Done, Task
from agent.execution.opening import OpenAttempt
from agent.execution.runlog import RunLog
from agent.execution.sealing import note_seals
from agent.execution.survey import Inspector, tokens_in
from agent.execution.workspace import Workspace
from agent.runtime.keeper import LeaseKeeper, keep_run
from agent.runtime.patience import retry_while_unavailable
from agent.store import leases, state
from agent.store.control import attempts
from agent.store.database.engine import Connections
from agent.store.leases import Lease
from agent.store.outputs import catalog, projections, promises
from agent.store.outputs import record as forward
from pipelines.component import Outside, Pending
from pipelines.snapshot import Snapshot
from pipelines.values import dataclass

_T = TypeVar("_T")
logger = logging.getLogger("tidemill.attempt")
_PENDING_LIMIT = 100_000


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
    recorded: Recorded | None = None  # of a success that no earlier try recorded


@dataclass
class Attempts:
    """Makes attempts within one run."""

    workspace: Workspace
    clock: Clock
    log: RunLog
    survey: Inspector
    computer: Computer
    stop: Callable[[], str | None]

    @cached_property
    def _heart(self) -> LeaseKeeper:
        """Of the run, from its first attempt on. One for all attempts: beginning and ending a thread takes longer than
        what an attempt writes."""
        return keep_run(
            self.workspace.database, self.log.run_id, self.log.lease, seconds=self.log.lease_seconds
        ).start()

    def close(self) -> None:
        """Let the run's lease be: its end is recorded next."""
        if "_heart" in vars(self):
            self._heart.stop()

    def carry_out(self, begun: OpenAttempt) -> Result:
        """Compute and record. After a transient failure the pause before the next try is over on return.

        Raises Cancelled when the run is to end, LeaseLost when another process took over meanwhile, CodeMoved where the
        code is another by now and nothing was computed.
        """
        workspace, started = self.workspace, time.monotonic()
        settings, name = workspace.settings, begun.name
        component = workspace.facts.components[name]
        own, heart = Lease(leases.of_component(name), begun.token), self._heart
        try:
            with ExitStack() as kept:
                for lease in (own, *([] if begun.result is None else [begun.result])):
                    kept.enter_context(heart.keeping(lease))
                old = self._previous(begun)
                done = self._done(begun, old, settings.timeout_of(name))
                sys.audit("tidemill.point", "attempt.computed")
                for warning in done.warnings:
                    logger.warning("%s", warning)
                for note in done.notes:
                    logger.info("%s: %s", name, note)
                current, mark = self._as_read(begun, done)
                success = Success(
                    name,
                    begun.attempt_id,
                    begun.token,
                    begun.before,
                    current,
                    begun.step,
                    done,
                    time.monotonic() - started,
                    workspace.is_historical,
                    as_of=self._as_of() if component.is_release else None,
                    fingerprint=mark,
                    result=begun.result,
                )
                recorded = self._patiently(
                    lambda: commit_success(workspace, self.log, success, old), f"{name} is computed"
                )
                if recorded is not None:
                    self.survey.remember(recorded.snapshot_id, done.snapshot)
        except AttemptFailed as error:
            return self._fail(begun, error, time.monotonic() - started)
        except Cancelled as error:
            if own.name in heart.lost:
                raise _lost(begun) from error
            self._abandon(begun, error.what)
            raise
        except CodeMoved as moved:
            self._abandon(begun, f"{moved.what} ({moved.where}), so that it is decided again")
            raise
        except (LeaseLost, DatabaseUnavailable):
            raise
        except Exception as error:  # of the lake, the catalog, a row refused: this attempt's fault, not the run's
            return self._fail(begun, AttemptFailed(failure_of(error)), time.monotonic() - started)
        return Result(
            success.seconds,
            rows=done.snapshot.rows,
            version=done.snapshot.version,
            is_cut_off=success.is_cut_off,
            recorded=recorded,
        )

    def _done(self, begun: OpenAttempt, old: Snapshot | None, timeout: float) -> Done:
        """What comes of the attempt, computed or found again."""
        name, reuse = begun.name, begun.step.reuse
        component = self.workspace.facts.components[name]
        if reuse is not None:
            sys.audit("tidemill.point", "attempt.result.found")
        shows = not self.workspace.is_try and (component.has_settle or component.has_projections)
        if reuse is not None and not (component.has_gate or shows):
            return Done(self.survey.snapshot(reuse.snapshot_id))
        return self.computer.compute(
            self._task(begun, old),
            timeout=timeout,
            stop=lambda: self._heart.reason_to_stop() or self.stop(),
            progress=lambda done, total, what: self._progress(name, done, total, what),
        )

    def _as_read(self, begun: OpenAttempt, done: Done) -> tuple[Current, str | None]:
        """What a success is recorded with, and what it is found by from now on; None where it may depend on more."""
        current = begun.current
        if begun.step.reuse is not None:
            return current, begun.step.reuse.fingerprint
        before, after = tokens_in(current), self.survey.sources_now(current)
        found = None
        if is_pure(before, after, done.warnings):
            found = self.survey.fingerprint(begun.name, current, done.environment)
        return replace(current, inputs=as_read(current.inputs, after)), found

    def _previous(self, begun: OpenAttempt) -> Snapshot | None:
        """The output before this attempt; None where there is none or its rows were deleted by hand."""
        snapshot_id = begun.before.output_snapshot_id
        try:
            return None if snapshot_id is None else self.survey.snapshot(snapshot_id)
        except NotFound:
            logger.warning("the catalog has lost the output of %s: it is recomputed in full", begun.name)
            return None

    def _task(self, begun: OpenAttempt, old: Snapshot | None) -> Task:
        name, before = begun.name, begun.before
        component = self.workspace.facts.components[name]
        reuse, try_id = begun.step.reuse, self.workspace.database.try_id
        carry = old is not None and reuse is None and can_carry_over(begun.step.reasons)
        return Task(
            component=name,
            inputs={up: self.survey.snapshot(begun.current.inputs[up].snapshot_id) for up in component.upstream},
            previous=old if carry else None,
            previous_inputs={
                up: self.survey.snapshot(record.snapshot_id)
                for up, record in before.inputs.items()
                if up in component.upstream and carry
            },
            redo=redo_keys(begun.step.reasons, before, begun.current) if carry else frozenset(),
            attempt=f"y{try_id}-{begun.token}" if try_id else f"t{begun.token}",
            pending=self._pending() if component.has_settle and not try_id else (),
            probes=self.survey.tokens() if component.reads_sources else {},
            outside=self._outside() if component.is_release else None,
            found=None if reuse is None else self.survey.snapshot(reuse.snapshot_id),
        )

    def _outside(self) -> Outside:
        """The clock, the sources that go by it, and what became of what was published."""
        sources = self.workspace.facts.sources.values()
        with self.workspace.database.reading() as connections:
            kept = promises.load_promise(connections.project)
        live = frozenset(source.name for source in sources if not source.is_historical)
        return Outside(self.clock.now(), live, "" if kept is None else promise_text(kept))

    def _pending(self) -> tuple[Pending, ...]:
        with self.workspace.database.reading() as connections:
            return tuple(projections.pending_predictions(connections.project, limit=_PENDING_LIMIT))

    def _progress(self, name: str, done: int, total: int, what: str) -> None:
        for watch in self.log.watchers:
            watch(Progress(name, done, total, what))

    def _as_of(self) -> datetime | None:
        """The newest tick: the present of historical data."""
        readers = [name for name, spec in self.workspace.specs.items() if spec.reads_sources]
        with self.workspace.database.reading() as connections:
            return catalog.newest_watermark(connections.project, readers)

    def _fail(self, begun: OpenAttempt, error: AttemptFailed, seconds: float) -> Result:
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
                leases.give_back(connections.project, begun.result)
                if error.refused is not None and not self.workspace.is_try:
                    forward.add_refusal(connections.project, error.what, error.refused)
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
                    Failed(
                        name,
                        begun.attempt_id,
                        begun.token,
                        begun.number,
                        error=str(error),
                        transient=error.transient,
                        seconds=round(seconds, 3),
                    )
                )

        sys.audit("tidemill.point", "attempt.failed")
        self._patiently(record, f"{name} failed")
        if error.refused is not None and not self.workspace.is_try:
            note_seals(self.workspace)
        sys.audit("tidemill.point", "attempt.failure_recorded")
        if not last:
            self._pause(
                attempt_delay_seconds(begun.number, random.random(), base_seconds=settings.executor.retry_seconds)
            )
        return Result(seconds, error=str(error), trace=error.trace, may_retry=not last)

    def _abandon(self, begun: OpenAttempt, why: str) -> None:
        """Close an attempt that was ended from outside; the component stays stale."""
        sys.audit("tidemill.point", "attempt.abandoning")
        try:
            with self.log.writing() as connections:
                now = self.clock.now()
                if state.give_up_attempt(connections.project, begun.name, begun.token):
                    self._mark_again(connections, begun)
                leases.give_back(connections.project, begun.result)
                attempts.finish_attempt(connections.control, begun.attempt_id, status="cancelled", now=now, error=why)
                self.log.add(events.Cancelled(begun.name, begun.token, why))
        except DatabaseError as gone:
            logger.warning("cannot give %s back (%s): whoever runs next takes it over", begun.name, gone.what)
        sys.audit("tidemill.point", "attempt.abandoned")

    def _patiently(self, record: Callable[[], _T], what: str) -> _T:
        return retry_while_unavailable(
            record, what, seconds=self.workspace.settings.executor.lease_seconds, stop=self.stop
        )

    def _mark_again(self, connections: Connections, begun: OpenAttempt) -> None:
        """An attempt clears the mark when it starts; one that brought nothing gives it back."""
        mark = mark_in(begun.step.reasons)
        if mark is not None:
            state.mark_dirty(connections.project, begun.name, mark)

    def _pause(self, seconds: float) -> None:
        """Wait before another try, the run kept alive. Raises Cancelled where it is to end instead."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            why = self._heart.reason_to_stop() or self.stop()
            if why is not None:
                raise Cancelled(why)
            time.sleep(min(0.1, max(0.0, until - time.monotonic())))


def _lost(begun: OpenAttempt) -> LeaseLost:
    return LeaseLost(
        f"the attempt at {begun.name} is over: its lease was taken over while this process slept",
        where=f"{begun.name}, token {begun.token}",
        fix="nothing to do: the process that took over computes it",
    )
