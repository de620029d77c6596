"""The ledger of trials: what was tried, so that the best of many is not taken for skill."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from agent.store.database.engine import insert
from agent.store.published import backtest_metrics, trials
from agent.store.state import statements
from agent.store.tables import snapshots
from pipelines.evaluation.sharpe import Track, deflated_sharpe
from pipelines.values import dataclass

_FIGURES = {"sharpe": "sharpe_per_bar", "skewness": "return_skewness", "kurtosis": "return_kurtosis"}


@dataclass(frozen=True)
class Luck:
    """probability: that the newest backtest's true Sharpe ratio exceeds what the best of so many trials would show
    without skill."""

    probability: float
    trials: int


def note_trial(conn: sa.Connection, component: str, metrics: Mapping[str, float | None], now: datetime) -> None:
    """Count the set-up whose backtest, `component`, was just recorded with these figures of the model's strategy; more
    data for a set-up already counted is no new trial. Nothing where its returns never varied.

    A set-up is the code and the settings of every component up to the backtest.
    """
    figures = {name: metrics.get(metric) for name, metric in _FIGURES.items()}
    if any(value is None for value in figures.values()):
        return
    values = {**figures, "periods": int((metrics.get("bars") or 1) - 1), "last_at": now}
    new = insert(conn, trials).values(setup=_setup(conn, component), first_at=now, **values)
    conn.execute(new.on_conflict_do_update(index_elements=["setup"], set_=values))


def luck_of_newest(conn: sa.Connection) -> Luck | None:
    """How likely the newest trial is more than luck; None before the first."""
    rows = conn.execute(sa.select(trials).order_by(trials.c.last_at.desc(), trials.c.setup)).all()
    if not rows:
        return None
    present = _present_setup(conn)
    newest = next((row for row in rows if row.setup == present), rows[0])
    one = Track(newest.periods, newest.sharpe, newest.skewness, newest.kurtosis)
    return Luck(deflated_sharpe(one, [row.sharpe for row in rows]), len(rows))


def _present_setup(conn: sa.Connection) -> str | None:
    """Of the newest backtest that is on show: a try's may be counted later, and is none. None where there is none."""
    newest = sa.select(sa.func.max(backtest_metrics.c.snapshot_id)).scalar_subquery()
    component: str | None = conn.scalar(sa.select(snapshots.c.component).where(snapshots.c.id == newest))
    return None if component is None else _setup(conn, component)


def _setup(conn: sa.Connection, component: str) -> str:
    """Hash over name, code and settings of `component` and of all that it reads, directly or not."""
    of = statements(conn)
    columns = of.table.c
    query = sa.select(columns.component, columns.code_version, columns.settings_hash, columns.input_versions)
    query = query.where(of.kind.within)
    rows = {row.component: row for row in conn.execute(query)}
    found, todo = set(), [component]
    while todo:
        name = todo.pop()
        if name not in found and name in rows:
            found.add(name)
            todo += list(rows[name].input_versions or {})
    parts = [f"{name} {rows[name].code_version} {rows[name].settings_hash}" for name in sorted(found)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
