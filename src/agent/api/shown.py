"""What the pages show of a project's state and predictions, put together from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.core.explain import dirty_text
from agent.core.figures import span_text
from agent.core.grid import MEANINGS, SIGNS
from agent.core.model import Defer, State, Step
from agent.core.plan_json import plan_from_json
from agent.masking import masked
from agent.service.projects import DEFAULT_PROJECT
from agent.store import state
from agent.store.control import attempts, runs
from agent.store.control.grid import load_grid
from agent.store.database.engine import Connections
from agent.store.database.urls import secrets_in
from agent.store.outputs import projections
from agent.store.outputs.projections import MarketFacts, Record
from pipelines.data.quoting import price_text
from pipelines.values import dataclass

_UNKNOWN = MarketFacts("", None, None)


@dataclass(frozen=True)
class ComponentLook:
    """How a component stands: a word, and why."""

    name: str
    word: str
    why: str | None
    row: State


def component_looks(at: Connections) -> list[ComponentLook]:
    """The components of the server's own project, in the order of the newest plan."""
    rows = state.load_states(at.project)
    plan = plan_from_json(runs.newest_plan(at.control, DEFAULT_PROJECT) or ())
    order = {step.component: number for number, step in enumerate(plan.steps)}
    names = sorted(rows, key=lambda name: (order.get(name, len(order)), name))
    steps = {step.component: step for step in plan.steps}
    return [component_look(name, rows[name], steps.get(name)) for name in names]


def newest_step(at: Connections, name: str) -> Step | None:
    """What the newest plan says of a component of the server's own project."""
    plan = plan_from_json(runs.newest_plan(at.control, DEFAULT_PROJECT) or ())
    return next((step for step in plan.steps if step.component == name), None)


def component_look(name: str, row: State, step: Step | None) -> ComponentLook:
    """How one component stands. `step`: of the newest plan, which alone knows what a policy defers."""
    if row.status == "failed":
        return ComponentLook(name, "failed", row.last_error, row)
    if row.status == "running":
        return ComponentLook(name, "running", None, row)
    if row.run_count == 0:
        return ComponentLook(name, "never run", None, row)
    if row.is_dirty and row.mark is None and isinstance(step, Defer):
        return ComponentLook(name, "deferred", f"until {step.until}, though {dirty_text(row)}", row)
    return ComponentLook(name, "stale" if row.is_dirty else "up to date", dirty_text(row), row)


def with_names(at: Connections, rows: Sequence[Record]) -> list[Record]:
    """Predictions with `name` (the market's question or symbol) and `price_text` beside what they have."""
    known = projections.market_facts(at.project, {row["market_id"] for row in rows})
    return [_named(row, known.get(row["market_id"], _UNKNOWN)) for row in rows]


def _named(row: Record, facts: MarketFacts) -> Record:
    price = price_text(row["price"], facts.tick_size, facts.quote_currency)
    return {**row, "name": facts.name or row["market_id"], "price_text": price}


SIGNED = {"signs": SIGNS, "meanings": MEANINGS, "span": span_text}


def grid_values(at: Connections) -> dict[str, Any]:
    """What the grid of the server's own project needs."""
    return {"grid": load_grid(at.control, DEFAULT_PROJECT), **SIGNED}


def without_secrets(at: Connections, text: str) -> str:
    """A text without the database's passwords."""
    return masked(text, secrets_in(at.control.engine.url))


def tracebacks(at: Connections, run_id: int, limit: int) -> list[tuple[str, str]]:
    """(component and try, traceback without passwords) of each attempt of a run that has one."""
    tried = attempts.list_attempts(at.control, run_id, limit)
    return [
        (f"{one.component}, try {one.number}", without_secrets(at, one.traceback)) for one in tried if one.traceback
    ]
