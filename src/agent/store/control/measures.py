"""Figures about the whole database for monitoring, each a query of its own, asked when someone scrapes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from agent.store.tables import attempts, orchestrator_state, releases, runs
from pipelines.values import dataclass


@dataclass(frozen=True)
class Measures:
    """What monitoring shows. `component_seconds` of the newest success; `crashed_attempts` are lease takeovers."""

    runs_by_status: dict[str, int]
    component_seconds: dict[str, float]
    dirty_components: int
    crashed_attempts: int
    release_created_at: datetime | None


def measure(conn: sa.Connection) -> Measures:
    """The figures of the default project and of all runs but those of tries."""
    by_status = sa.select(runs.c.status, sa.func.count().label("runs")).where(runs.c.try_id == 0)
    counted = conn.execute(by_status.group_by(runs.c.status))
    state = orchestrator_state.c
    seconds = conn.execute(sa.select(state.component, state.last_duration_s).where(state.last_duration_s.is_not(None)))
    of_runs = attempts.join(runs, runs.c.id == attempts.c.run_id)
    crashed = sa.select(sa.func.count()).select_from(of_runs).where(attempts.c.status == "crashed", runs.c.try_id == 0)
    return Measures(
        runs_by_status={row.status: row.runs for row in counted},
        component_seconds={row.component: row.last_duration_s for row in seconds},
        dirty_components=conn.scalar(sa.select(sa.func.count()).where(state.is_dirty)) or 0,
        crashed_attempts=conn.scalar(crashed) or 0,
        release_created_at=conn.scalar(sa.select(releases.c.created_at).where(releases.c.is_current)),
    )


def count_queued(conn: sa.Connection) -> int:
    """How many runs wait in the queue; a try's never does."""
    return conn.scalar(sa.select(sa.func.count()).where(runs.c.status == "QUEUED")) or 0
