"""What the pages show of a project's state and predictions, put together from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.api.outlook import Foreseen
from agent.core.figures import span_text
from agent.core.grid import MEANINGS, SIGNS
from agent.core.model import State
from agent.core.plan_json import plan_from_json
from agent.core.standing import Standing, standing
from agent.masking import masked
from agent.service.projects import DEFAULT_PROJECT
from agent.store import leases, state
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
    """How a component stands, and its row."""

    name: str
    standing: Standing
    row: State


def component_looks(at: Connections, found: Foreseen, now: datetime) -> dict[str, Any]:
    """What the table of components needs: those of the server's own project, in the order of a run."""
    rows = state.load_states(at.project)
    if found.steps is not None:
        names: Sequence[str] = [name for name in found.steps if name in rows]
    else:
        plan = plan_from_json(runs.newest_plan(at.control, DEFAULT_PROJECT) or ())
        order = {step.component: number for number, step in enumerate(plan.steps)}
        names = sorted(rows, key=lambda name: (order.get(name, len(order)), name))
    looks = [component_look(name, rows[name], found, now) for name in names]
    return {"components": looks, "why_not_known": found.why_not}


def component_look(name: str, row: State, found: Foreseen, now: datetime) -> ComponentLook:
    """How one component stands."""
    step = (found.steps or {}).get(name)
    is_at_work = leases.is_at_work(row.lease_owner, row.lease_expires_at, now)
    return ComponentLook(name, standing(row, step, is_at_work=is_at_work), row)


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
