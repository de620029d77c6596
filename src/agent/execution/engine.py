"""Performs a run: decides about one component after the other with the versions just produced, and computes the stale.

A component runs under a lease. The decision is taken again once the lease is held, since another process may have done
the work meanwhile. See agent.execution.commit for the one transaction of a success.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

from agent.clock import Clock
from agent.core.events import (
    AgentThinking,
    Blocked,
    Deferred,
    PlanGenerated,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    Skipped,
)
from agent.core.explain import found_text
from agent.core.model import Block, Compute, Current, Defer, Skip, State, Step
from agent.core.plan import decide_step, why_unavailable
from agent.core.plan_json import plan_to_json
from agent.core.staleness import decide_reasons
from agent.errors import Busy, LeaseLost, NotFound
from agent.execution.computing import Computer
from agent.execution.host.interface import Cancelled
from agent.execution.planning import names_of, think, with_fresh_rows
from agent.execution.pointer import repair_current
from agent.execution.runlog import RunLog
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace
from agent.runtime.patience import retry_while_unavailable
from agent.store import state
from agent.store.control import runs
from pipelines.component import Deferral, Due
from pipelines.values import dataclass

if TYPE_CHECKING:
    from agent.execution.attempt import Attempts
    from agent.execution.commit import Recorded
    from agent.execution.opening import Opening


@dataclass(frozen=True)
class Finished:
    """What became of one component in this run. `step` is the decision, `error` its failure."""

    component: str
    step: Step
    seconds: float | None = None
    rows: int | None = None
    version: str | None = None
    is_cut_off: bool = False
    error: str | None = None
    trace: str = ""
    shows_dirty: bool = False  # its row says dirty, or why it was

    def why_unavailable(self) -> str | None:
        """Why what lies downstream must not be computed; None where it may."""
        return "failed" if self.error is not None else why_unavailable(self.step)


@dataclass(frozen=True)
class Report:
    """A run's end: its status (COMPLETED, FAILED, CANCELLED), and what became of each component."""

    run_id: int
    status: str
    components: tuple[Finished, ...]
    error: str | None = None


@dataclass
class Engine:
    """Performs one run in an opened workspace.

    manual: a person asked, so backoff after failures is ignored. wait: wait for a component that another process
    computes, instead of raising Busy. stop: why to end now, or None. earlier: what this run computed before it had to
    begin again with another generation of code.
    """

    workspace: Workspace
    clock: Clock
    log: RunLog
    computer: Computer
    manual: bool = True
    wait: bool = False
    stop: Callable[[], str | None] = lambda: None
    earlier: Mapping[str, Finished] = field(default_factory=dict)
    _finished: dict[str, Finished] = field(default_factory=dict)
    _rows: dict[str, State] = field(default_factory=dict)  # as this run read them and left them
    _looked_at: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._survey = Inspector(self.workspace)

    @cached_property
    def _attempts(self) -> Attempts:
        from agent.execution.attempt import Attempts  # a run with nothing to do makes no attempt

        return Attempts(self.workspace, self.clock, self.log, self._survey, self.computer, self.stop)

    @cached_property
    def _opening(self) -> Opening:
        from agent.execution.opening import Opening

        return Opening(self.workspace, self.clock, self.log, self.wait, self.stop)

    def execute(self) -> Report:
        """Perform the run and record its end. Raises Busy when another process holds a component and `wait` is off."""
        request = replace(
            self.log.request, force=tuple(name for name in self.log.request.force if name not in self.earlier)
        )
        names = names_of(self.workspace, request)
        if not self.log.has_started:
            self.log.has_started = True
            self.log.add(RunStarted(request.goal, request.targets, request.trigger))
        if not self.workspace.is_try:
            repair_current(self.workspace)
        thought = think(self.workspace, self._survey, request, now=self.clock.now(), manual=self.manual)
        clean = tuple(name for name in names if name not in thought.stale)
        self.log.add(AgentThinking(thought.stale, clean))
        self.log.add(PlanGenerated(thought.plan.steps))
        plan = plan_to_json(thought.plan)
        planned = {step.component: step for step in thought.plan.steps if step.component in names}
        before = (thought.states[name].output_snapshot_id for name in names if isinstance(planned[name], Compute))
        self._survey.read_snapshots([snapshot_id for snapshot_id in before if snapshot_id is not None])
        status, error = "COMPLETED", None
        try:
            self._perform_all(planned, thought.states)
        except Cancelled as cancelled:
            status, error = "CANCELLED", cancelled.what
        except (Busy, LeaseLost) as refused:
            self._end("CANCELLED", refused.what, plan)
            raise
        for name, one in self.earlier.items():
            if name in self._finished and isinstance(self._finished[name].step, Skip):
                self._finished[name] = one
        failures = [one for one in self._finished.values() if one.error]
        if failures and status == "COMPLETED":
            status, error = "FAILED", "; ".join(f"{one.component}: {one.error}" for one in failures)
        self._end(status, error, plan)
        return Report(self.log.run_id, status, tuple(self._finished.values()), error)

    def _perform_all(self, planned: Mapping[str, Step], states: Mapping[str, State]) -> None:
        """One component after the other. Raises Cancelled, Busy, LeaseLost and CodeMoved, which end the run."""
        self._rows = dict(states)
        try:
            for name, step in planned.items():
                why = self.stop()
                if why is not None:
                    raise Cancelled(why)
                self.log.iteration += 1
                # As long as nothing was computed, what was read a moment ago still holds.
                if isinstance(step, Skip) and all(isinstance(one.step, Skip) for one in self._finished.values()):
                    self._finished[name] = self._left(step, states[name])
                else:
                    self._finished[name] = self._perform(name)
        finally:
            if "_attempts" in vars(self):
                self._attempts.close()

    def computed(self) -> dict[str, Finished]:
        """What this run has computed so far."""
        mine = {name: one for name, one in self._finished.items() if isinstance(one.step, Compute) and not one.error}
        return {**self.earlier, **mine}

    def _states(self, name: str) -> dict[str, State]:
        """The rows that a decision about `name` is read from: its own and those of its upstreams."""
        with self.workspace.database.reading() as connections:
            return state.load_states(connections.project, (name, *self.workspace.specs[name].upstream))

    def _decide(self, name: str, states: Mapping[str, State], current: Current) -> Step:
        from agent.execution.policy import ask_policy  # of what may be computed alone

        unavailable = {up: why for up, one in self._finished.items() if (why := one.why_unavailable()) is not None}
        spec, now = self.workspace.specs[name], self.clock.now()
        forced = name in self.log.request.force and name not in self._finished and name not in self.earlier
        reasons = decide_reasons(spec, states[name], current, now=now, forced=forced)
        answer = ask_policy(self.workspace, self._survey, name, states, reasons) if reasons else None
        return decide_step(
            spec,
            states[name],
            current,
            now=now,
            unavailable=unavailable,
            forced=forced,
            deferral=answer.until if isinstance(answer, Deferral) else None,
            due=answer.because if isinstance(answer, Due) else None,
            manual=self.manual,
        )

    def _look(self, name: str) -> tuple[Mapping[str, State], Current, Step]:
        """What is recorded, what is true now, and what follows for one component.

        The first look is at the rows as this run knows them: one that leads to computing is compared with the database
        under the lease. Anything else follows from what is recorded at this moment.
        """

        def look(states: Mapping[str, State]) -> tuple[Mapping[str, State], Current, Step]:
            current = self._survey.current(name, states)
            step = self._decide(name, states, current)
            if isinstance(step, Compute):
                mark = self._survey.findable(name, current, step.reasons)
                reuse = None if mark is None else self._survey.earlier(name, mark)
                step = replace(step, reuse=reuse, fingerprint=mark)
            return states, current, step

        if name not in self._looked_at:
            self._looked_at.add(name)
            with suppress(NotFound):  # an output that gc took since
                found = look(self._rows)
                if isinstance(found[2], Compute):
                    return found
        self._survey.look_again(name)  # another process may have computed it meanwhile
        return with_fresh_rows(lambda: self._states(name), look)

    def _note(self, before: State, recorded: Recorded) -> None:
        """Note what a success of this run changed in the rows that are decided from next."""
        self._rows[before.component] = replace(
            before, output_snapshot_id=recorded.snapshot_id, output_version=recorded.version
        )
        for name, text in recorded.shown.items():
            self._rows[name] = replace(self._rows[name], dirty_reason=text, is_dirty=True)

    def _perform(self, name: str) -> Finished:
        """Bring one component up to date if it is stale; try again after a transient failure."""
        for number in range(1, self.workspace.settings.executor.attempts + 1):
            begun = self._opening.begin(name, number, lambda: self._look(name))
            if isinstance(begun, tuple):
                return self._left(*begun)
            result = self._attempts.carry_out(begun)
            if result.recorded is not None:
                self._note(begun.before, result.recorded)
            if result.error is None or not result.may_retry:
                break
        assert not isinstance(begun, tuple)
        return Finished(
            name,
            begun.step,
            seconds=result.seconds,
            rows=result.rows,
            version=result.version,
            is_cut_off=result.is_cut_off,
            error=result.error,
            trace=result.trace,
        )

    def _left(self, step: Step, before: State) -> Finished:
        """A component that is not computed in this run, and why."""
        match step:
            case Skip():
                self.log.add(Skipped(step.component, step.version))
            case Defer():
                self.log.add(Deferred(step.component, step.until, step.reasons))
            case Block():
                self.log.add(Blocked(step.component, step.by, step.reasons))
            case Compute():
                raise AssertionError(f"{step.component} was to be computed")
            case _:
                assert_never(step)
        return Finished(
            step.component,
            step,
            version=before.output_version,
            rows=before.output_rows,
            shows_dirty=before.is_dirty or before.dirty_reason is not None,
        )

    def _end(self, status: str, error: str | None, plan: list[dict[str, Any]]) -> None:
        """Record the run's end, once, and on every component what the next run will see."""
        kind = {"COMPLETED": RunCompleted, "FAILED": RunFailed, "CANCELLED": RunCancelled}[status]
        done = [(one, one.step.reuse) for one in self._finished.values() if isinstance(one.step, Compute)]
        event = kind(
            error,
            computed=tuple(one.component for one, reuse in done if one.error is None and reuse is None),
            failed=tuple(one.component for one, _ in done if one.error is not None),
            reused=tuple(one.component for one, reuse in done if one.error is None and reuse is not None) or None,
        )
        texts = self._what_is_left()

        def record() -> None:
            with self.log.writing() as connections:
                state.show_reasons(connections.project, texts)
                self.log.flush(connections)
                is_open = runs.move_run(
                    connections.control,
                    self.log.run_id,
                    status,
                    from_statuses=("RUNNING",),
                    error=error,
                    plan=plan,
                )
                if is_open:  # else it was closed by whoever took this process for dead, or by a try of this very block
                    self.log.add(event)

        sys.audit("tidemill.point", "run.ending")
        seconds = self.workspace.settings.executor.lease_seconds
        retry_while_unavailable(record, "the run is over", seconds=seconds, stop=self.stop)
        sys.audit("tidemill.point", "run.ended")

    def _what_is_left(self) -> dict[str, str | None]:
        """Component -> why it is still stale, None where it is not: what `is_dirty` and `dirty_reason` then show."""
        texts: dict[str, str | None] = {}
        for name, one in self._finished.items():
            if isinstance(one.step, Defer | Block):
                texts[name] = found_text(name, one.step.reasons)
            elif isinstance(one.step, Skip) and one.shows_dirty:
                texts[name] = None
        return texts
