"""Opening an attempt: take the lease on the component, decide again under it, and write the attempt's row."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace

from agent import identity
from agent.clock import Clock
from agent.core.events import Started, TakenOver
from agent.core.explain import sentence
from agent.core.model import Compute, Current, State, Step
from agent.core.results import distrust
from agent.core.staleness import mark_in
from agent.errors import Busy
from agent.execution.host.interface import Cancelled
from agent.execution.lake_owner import claim
from agent.execution.runlog import RunLog
from agent.execution.workspace import Workspace
from agent.store import leases, state
from agent.store.control import attempts, runs
from agent.store.database.engine import Connections, try_of
from agent.store.leases import Lease
from agent.store.outputs import results, tries
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
    result: Lease | None = None  # on computing what others may take: see agent.store.leases


class _Reconsider(Exception):
    """What was decided from has changed: nothing was written, and it is decided again."""


class _ComputedElsewhere(Busy):
    """Another process computes the very result at this moment."""


@dataclass
class Opening:
    """Opens attempts within one run."""

    workspace: Workspace
    clock: Clock
    log: RunLog
    wait: bool
    stop: Callable[[], str | None]
    _owns_lake: bool = False
    _refused: dict[str, set[int]] = field(default_factory=dict)  # component -> results that it was not to have
    _until: dict[str, float] = field(default_factory=dict)  # component -> when it waits no longer for another's result

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
                if not self.wait and not isinstance(busy, _ComputedElsewhere):
                    raise
                if not reported:
                    reported = True
                    logger.warning("%s; waiting for it", busy.what)
                self._wait()
                continue
            except _Reconsider:
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
        """The attempt, begun; None where the rows that were decided from have changed. Raises _Reconsider, with nothing
        written, where another process has computed the result by now."""
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
                result = self._claim(connections, name, step)
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
        return OpenAttempt(name, number, attempt_id, lease.token, before, current, step, result)

    def _claim(self, connections: Connections, name: str, step: Compute) -> Lease | None:
        """The lease on computing what others may take as well. Raises _Reconsider where they have computed it by now,
        _ComputedElsewhere while they do: to production only as long as the component is expected to take."""
        if step.reuse is not None or step.fingerprint is None:
            return None
        conn, lease_name = connections.project, leases.of_result(name, step.fingerprint)
        leases.add_result_row(conn, lease_name)
        try:
            lease = leases.take(conn, lease_name, self.log.owner, self.log.lease_seconds)
        except Busy as busy:
            if not self.workspace.is_try:
                if name not in self._until:
                    seconds, _ = attempts.expectations(connections.control, connections.project_id).get(
                        name, (None, None)
                    )
                    patience = self.log.lease_seconds if seconds is None else seconds
                    self._until[name] = time.monotonic() + patience
                if time.monotonic() >= self._until[name]:
                    return None
            raise _ComputedElsewhere(busy.what, where=busy.where, fix=busy.fix) from busy
        found = results.find(conn, name, step.fingerprint)
        if found is not None and found.snapshot_id not in self._refused.setdefault(name, set()):
            self._refused[name].add(found.snapshot_id)  # once: one that is not taken then is not whole
            raise _Reconsider
        return lease

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
    doubt = distrust(step.reasons)
    if doubt is not None and not try_of(connections.project):
        tries.mark(connections.project, name, doubt)
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
