"""The ledger of trials on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from agent.store.outputs.trials import luck_of_newest, note_trial
from agent.store.published import trials
from agent.store.tables import orchestrator_state
from tests import tiny

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def figures(sharpe: float | None) -> dict[str, float | None]:
    return {"sharpe_per_bar": sharpe, "return_skewness": 0.0, "return_kurtosis": 3.0, "bars": 501.0}


def test_a_set_up_counts_once_however_often_it_is_run(tmp_path: Path) -> None:
    folder = tiny.tiny_project(tmp_path / "project")
    tiny.run(folder)
    with tiny.opened(folder) as workspace, workspace.database.writing() as connections:
        conn = connections.project
        assert luck_of_newest(conn) is None
        note_trial(conn, "total", figures(None), NOW)
        assert luck_of_newest(conn) is None
        note_trial(conn, "total", figures(0.1), NOW)
        note_trial(conn, "total", figures(0.12), NOW + timedelta(days=1))
        alone = luck_of_newest(conn)
        assert alone is not None
        assert alone.trials == 1
        assert alone.probability > 0.99
        for number in range(30):  # other settings of what the backtest reads are other set-ups
            changed = sa.update(orchestrator_state).where(orchestrator_state.c.component == "numbers")
            conn.execute(changed.values(settings_hash=f"s{number}"))
            note_trial(conn, "total", figures((-1) ** number * 0.1), NOW + timedelta(days=2 + number))
        many = luck_of_newest(conn)
        assert many is not None
        assert many.trials == 31
        note_trial(conn, "total", figures(0.12), NOW + timedelta(days=90))
        best = luck_of_newest(conn)
        assert best is not None
        assert best.trials == 31
        assert best.probability < alone.probability
        assert conn.scalar(sa.select(sa.func.min(trials.c.first_at))) == NOW
