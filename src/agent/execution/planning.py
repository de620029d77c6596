"""The plan of a run, from what is recorded and what is true now: shown by a dry run, stored by a real one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from agent import identity
from agent.core import graph
from agent.core.explain import cause
from agent.core.model import Block, Compute, Current, Plan, State, Step
from agent.core.plan import Outlook, make_plan
from agent.core.staleness import decide_reasons
from agent.errors import NotFound
from agent.execution.runlog import Request
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace
from agent.store import leases, state
from agent.store.database.engine import database_now
from pipelines.component import Deferral, Due
from pipelines.values import dataclass

_T = TypeVar("_T")


@dataclass(frozen=True)
class Evaluation:
    """What was found: states and facts per component, the causes of staleness in words, and the plan."""

    states: Mapping[str, State]
    currents: Mapping[str, Current]
    stale: Mapping[str, tuple[str, ...]]
    plan: Plan


def names_of(workspace: Workspace, request: Request) -> tuple[str, ...]:
    """Components that a request is about, in the order they are performed. Raises UsageError for an unknown name."""
    graph.require_known(workspace.specs, request.targets, where="targets")
    graph.require_known(workspace.specs, request.force, where="force")
    wanted = graph.upstream_of(workspace.specs, request.targets or tuple(workspace.specs))
    return tuple(name for name in graph.order(workspace.specs) if name in wanted)


def with_fresh_rows(load: Callable[[], Mapping[str, State]], use: Callable[[Mapping[str, State]], _T]) -> _T:
    """`use` the rows that `load` gives; with newer rows where an output they name was replaced and taken by gc before
    it was read. Raises NotFound where the rows as they are name a snapshot that is gone."""
    rows = load()
    while True:
        try:
            return use(rows)
        except NotFound:
            newer = load()
            if newer == rows:
                raise
            rows = newer


def think(
    workspace: Workspace,
    survey: Inspector,
    request: Request,
    *,
    now: datetime,
    manual: bool = True,
    assume_changed: Collection[str] = (),
) -> Evaluation:
    """Read the state, decide staleness, plan the whole run. Writes nothing."""

    def load() -> Mapping[str, State]:
        with workspace.database.reading() as connections:
            return state.load_states(connections.project)

    return with_fresh_rows(load, lambda states: _think(workspace, survey, request, states, now, manual, assume_changed))


def _think(
    workspace: Workspace,
    survey: Inspector,
    request: Request,
    recorded: Mapping[str, State],
    now: datetime,
    manual: bool,
    assume_changed: Collection[str],
) -> Evaluation:
    names, holders = names_of(workspace, request), _holders(workspace, recorded)
    # What is being computed has not failed: `running` says so only to who holds the lease himself.
    states = {**recorded, **{name: replace(recorded[name], status="idle") for name in holders}}
    currents = survey.currents(names, states)
    found = {name: decide_reasons(workspace.specs[name], states[name], currents[name], now=now) for name in names}
    # Also of what is not stale yet: an input may be on its way.
    is_news = bool(assume_changed) or any(found.values())
    advice: dict[str, Deferral | Due | None] = {}
    if is_news:
        from agent.execution.policy import ask_policy  # a run with nothing to do asks for neither this nor history

        advice = {name: ask_policy(workspace, survey, name, states, found[name]) for name in names}
    history = {}
    if request.force or is_news:
        from agent.store.control import attempts

        with workspace.database.reading() as connections:
            history = attempts.expectations(connections.control, workspace.database.project_id)
    outlook = Outlook(
        deferrals={name: answer.until for name, answer in advice.items() if isinstance(answer, Deferral)},
        dues={name: answer.because for name, answer in advice.items() if isinstance(answer, Due)},
        holders=holders,
        history=history,
        changed=survey.changes(names, states),
    )
    plan = make_plan(
        workspace.specs,
        states,
        currents,
        targets=names,
        force=request.force,
        now=now,
        manual=manual,
        outlook=outlook,
        assume_changed=assume_changed,
    )
    if is_news and not assume_changed:
        plan = _with_reuse(workspace, survey, request, states, plan, now)
    stale = {name: tuple(cause(name, one) for one in reasons) for name, reasons in found.items() if reasons}
    return Evaluation(states, currents, stale, plan)


def _with_reuse(
    workspace: Workspace, survey: Inspector, request: Request, states: Mapping[str, State], plan: Plan, now: datetime
) -> Plan:
    """`plan` with the results that earlier runs have computed, as far as the inputs are foreseen."""
    foreseen, unknown, steps = dict(states), set[str](), list[Step]()
    for step in plan.steps:
        name = step.component
        if isinstance(step, Compute) and not step.unless and not unknown & workspace.specs[name].upstream.keys():
            current = survey.current(name, foreseen)
            forced = name in request.force
            reasons = decide_reasons(workspace.specs[name], states[name], current, now=now, forced=forced)
            mark = survey.findable(name, current, reasons) if reasons else None
            reuse = None if mark is None else survey.earlier(name, mark)
            step = replace(step, reuse=reuse)
            if reuse is not None:
                foreseen[name] = replace(
                    states[name], output_snapshot_id=reuse.snapshot_id, output_version=reuse.version
                )
            elif reasons:
                unknown.add(name)
        elif isinstance(step, Compute | Block):
            unknown.add(name)
        steps.append(step)
    return Plan(tuple(steps))


def _holders(workspace: Workspace, states: Mapping[str, State]) -> dict[str, str]:
    """Component -> the living process that computes it now."""
    running = {name: one for name, one in states.items() if one.status == "running"}
    if not running:
        return {}
    with workspace.database.reading() as connections:
        there = database_now(connections.project)
    return {
        name: f"{identity.describe(one.lease_owner or '')}, which computes it now"
        for name, one in running.items()
        if leases.is_at_work(one.lease_owner, one.lease_expires_at, there)
    }
