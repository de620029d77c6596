"""Opening an attempt: take the lease on the component, decide again under it, and write the attempt's row."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from agent import identity
from agent.clock import Clock
from agent.core.events import Started, TakenOver
from agent.core.explain import sentence
from agent.core.model import Compute, Current, State, Step
from agent.core.results import is_distrusted
from agent.core.staleness import mark_in
from agent.errors import Busy
from agent.execution.host.interface import Cancelled
from agent.execution.lake_owner import claim
from agent.execution.runlog import RunLog
from agent.execution.workspace import Workspace
from agent.store import leases, state
from agent.store.control import attempts, runs
from agent.store.database.engine import Connections
from agent.store.outputs import results
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.attempt")
_BUSY_POLL_SECONDS = 0.5

Look = Callable[[], tuple[Mapping[str, State], Current, Step]]


@dataclass(frozen=True)
class OpenAttempt:
    """An attempt whose lease is held and whose row is written. `before` is the state it started from."""

    name: str
    number: int
    attempt_id: int
    token: int
    before: State
    current: Current
    step: Compute


@dataclass
class Opening:
    """Opens attempts within one run."""

    workspace: Workspace
    clock: Clock
    log: RunLog
    wait: bool
    stop: Callable[[], str | None]
    _owns_lake: bool = False

    def begin(self, name: str, number: int, look: Look) -> OpenAttempt | tuple[Step, State]:
        """Take the lease and open the attempt in one transaction; or the step and state where nothing is to compute.

        `look` reads and decides outside of it. Where the rows it read have changed by then (a mark, another process's
        success) it looks again, so that what is done follows from what is true under the lease. Raises Busy when
        another process holds the component, unless asked to wait for it; Cancelled while it waits.
        """
        reported = False
        while True:
            states, current, step = look()
            if not isinstance(step, Compute):
                return step, states[name]
            try:
                begun = self._open(name, number, states, current, step)
            except Busy as busy:
                if not self.wait:
                    raise
                if not reported:
                    reported = True
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

    def _open(
        self, name: str, number: int, seen: Mapping[str, State], current: Current, step: Compute
    ) -> OpenAttempt | None:
        """The attempt, begun; None where the rows that were decided from have changed."""
        if not self._owns_lake:  # once a run: each commit looks again
            claim(self.workspace.database, self.workspace.settings.lake_path)
            self._owns_lake = True
        sys.audit("tidemill.point", "attempt.opening")
        with self.log.writing() as connections:
            # The row is locked first, so that no mark comes in between what is read and what is cleared.
            found = state.find_free(connections.project, name)
            lease, before = found.free.lease, found.state
            abandoned = [] if lease.took_over_from is None else self._take_over(connections, name, lease)
            if abandoned:  # a mark of theirs is in the row by now
                before = state.load_states(connections.project, (name,))[name]
            is_as_seen = _essence(before) == _essence(seen[name]) and all(
                found.outputs.get(one) == seen[one].output_snapshot_id for one in self.workspace.specs[name].upstream
            )
            if is_as_seen:
                seconds = self.workspace.settings.executor.lease_seconds
                state.begin_attempt(connections.project, found.free, self.log.owner, seconds)
                step = _held(connections, name, step, found.free)
            attempts.close_abandoned(connections.control, abandoned)  # control rows after the project's
            if not is_as_seen:
                return None
            codes = tuple(reason.code for reason in step.reasons)
            sentences = tuple(sentence(name, reason) for reason in step.reasons)
            self.log.add(Started(name, number, lease.token, codes, sentences))
            self.log.flush(connections)
            attempt_id = attempts.start_attempt(
                connections.control,
                run_id=self.log.run_id,
                component=name,
                number=number,
                token=lease.token,
                owner=self.log.owner,
                reasons=step.reasons,
                reused_from=None if step.reuse is None else step.reuse.attempt_id,
                now=self.clock.now(),
            )
            sys.audit("tidemill.point", "attempt.written")
        sys.audit("tidemill.point", "attempt.opened")
        return OpenAttempt(name, number, attempt_id, lease.token, before, current, step)

    def _take_over(self, connections: Connections, name: str, lease: leases.Lease) -> list[attempts.Attempt]:
        """What a dead holder left running, to be closed; the mark that its attempt had started from is set again."""
        abandoned = attempts.find_abandoned(connections, name, lease.token, self.clock.now())
        for attempt in abandoned:
            mark = mark_in(attempt.reasons) if attempt.status == "crashed" else None
            if mark is not None:
                state.mark_dirty(connections.project, name, mark)
        if abandoned:
            origin = identity.describe(lease.took_over_from or "")
            self.log.add(TakenOver(name, origin, tuple(attempt.id for attempt in abandoned)))
        return abandoned


def _held(connections: Connections, name: str, step: Compute, free: leases.Free) -> Compute:
    """The step with the result that it is to take kept from gc; where gc was first the component computes. Where a
    person wants a computation, earlier results are out of the question from now on, also if the attempt fails."""
    if is_distrusted(step.reasons):
        results.forget(connections.project, name)
    if step.reuse is None:
        return step
    if not results.hold(connections.project, name, step.reuse, free.now):
        return replace(step, reuse=None)
    sys.audit("tidemill.point", "attempt.result.held")
    return step


def _essence(own: State) -> State:
    """What a decision about a component was read from in its own row: all but the lease."""
    return replace(own, lease_owner=None, lease_token=0, lease_expires_at=None)
