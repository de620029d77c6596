"""Parts that several tabs show: how components stand, a table of runs, an error with its traceback folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import streamlit as st

from agent import identity
from agent.core.answers import Ref
from agent.core.explain import plan_lines
from agent.core.figures import span_text
from agent.core.model import Plan, State
from agent.core.record import promise_text
from agent.store import leases
from agent.store.control.runs import Run
from agent.store.outputs.releases import Release
from dashboard import actions, address, data, health, look
from dashboard.data import Session
from dashboard.health import Look
from dashboard.look import Column, Html
from dashboard.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED

_WHAT_TO_DO = "Open the Agent tab and press **Run Agent Once**, or type `agent run`."

_VERBS = {"compute": ORANGE, "skip": GREEN, "defer": PURPLE, "block": PURPLE}
_STATUS = {
    "QUEUED": GREY,
    "AWAITING_APPROVAL": PURPLE,
    "RUNNING": BLUE,
    "COMPLETED": GREEN,
    "FAILED": RED,
    "CANCELLED": ORANGE,
}


def looks(states: Mapping[str, State], plan: Plan | None, at: datetime) -> dict[str, Look]:
    """How each component stands, by what the next run would do; by what the last one left where that is not known."""
    steps = {} if plan is None else {step.component: step for step in plan.steps}
    return {
        name: health.look(row, steps.get(name), is_at_work=leases.is_at_work(row.lease_owner, row.lease_expires_at, at))
        for name, row in states.items()
    }


def status(run: Run, at: datetime) -> Html:
    """A run's status as a dot and a word."""
    if data.is_dead(run, at):
        return look.dot(RED, "RUNNING, but its process died")
    return look.dot(_STATUS[run.status], run.status)


def took(run: Run, at: datetime) -> str:
    """How long a run took, or has taken so far."""
    if run.started_at is None:
        return "–"
    return span_text(((run.finished_at or at) - run.started_at).total_seconds())


def assessment(desk: Session, release: Release) -> None:
    """What a release's forecasts are worth, and what earlier ones promised and kept."""
    if release.assessment is not None:
        look.line(release.assessment)
    kept = data.kept_promise(desk)
    if kept is not None:
        look.line(f"Forward record: {promise_text(kept)}")


def component(name: str) -> Html:
    """A component's name, which leads to its page."""
    return look.link(Ref("component", name, name))


def choose_release(known: Sequence[Release], label: str, name: str, key: str, default: Release) -> Release:
    """A box to choose a release in, which the address follows under `name`."""
    by_name = {one.name: one for one in known}
    return by_name[choose(release_texts(known), label, name, key, default.name)]


def choose(known: Mapping[str, str], label: str, name: str, key: str, default: str) -> str:
    """A box to choose a release or a try in, by their texts; the address follows the chosen name under `name`."""
    asked = address.asked(name)
    if asked is not None and asked not in known:
        st.warning(f"Nothing is called {look.literal(asked[:200])} any more.", icon=":material/link_off:")
    address.follow(name, key, {one: one for one in known}, default)
    chosen: str = st.selectbox(
        label, list(known), format_func=known.__getitem__, key=key, on_change=address.keep, args=(name, key)
    )
    return chosen


def release_texts(known: Sequence[Release]) -> dict[str, str]:
    """Name of each release -> how a box shows it."""
    return {
        one.name: f"{look.when_text(one.created_at)} · {one.name}{' · current' if one.is_current else ''}"
        for one in known
    }


def owner(run: Run) -> str:
    """Who executes a run, in words."""
    return "" if run.owner is None else identity.describe(run.owner)


def runs_table(runs: Sequence[Run], at: datetime) -> None:
    """Runs as a table, in the order given."""
    look.table(
        [
            Column("Run", "num"),
            Column("Status", "short"),
            Column("Goal", "long"),
            Column("Trigger"),
            Column("Began", "short"),
            Column("Took", "num short"),
        ],
        [
            (
                look.link(Ref("run", str(run.id), str(run.id))),
                status(run, at),
                run.goal,
                run.trigger,
                look.when(run.started_at or run.created_at),
                took(run, at),
            )
            for run in runs
        ],
        label="runs",
    )


def plan_table(plan: Plan) -> None:
    """What a run would do with each component, and why."""
    rows = []
    for step, line in zip(plan.steps, plan_lines(plan), strict=True):
        verb, _, why = line.removeprefix(step.component).strip().partition(" ")
        rows.append((component(step.component), look.dot(_VERBS[verb.rstrip("?")], verb), why.strip()))
    look.table([Column("Component", "short"), Column("Step", "short"), Column("Why", "long")], rows, label="plan")


def error(title: str, text: str, traceback: str | None) -> None:
    """An error in full, its traceback folded."""
    st.error(look.literal(f"{title}\n{text}"), icon=":material/error:")
    if traceback:
        with st.expander("Traceback"):
            st.code(traceback, language=None)


def start_run(desk: Session, targets: Sequence[str] = (), force: Sequence[str] = (), *, hint: str = "") -> str:
    """Ask for a run; how it stands, in words. Raises as `actions.run`."""
    started = actions.run(desk, targets, force)
    return f"Run {started.id} is {started.status.lower()}{hint}."


def nothing_yet(what: str) -> None:
    """An empty state that says what to do next."""
    st.info(f"{what} {_WHAT_TO_DO}", icon=":material/info:")
