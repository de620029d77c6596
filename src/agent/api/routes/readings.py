"""What the pipeline found: markets, signals, backtests, calibration."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path

from agent.api.errors import CONFLICT, NOT_FOUND
from agent.api.findings import BacktestOut, Bin, Calibration, MarketOut, SignalOut
from agent.api.server import Limit, ProjectId, ServerHere
from agent.api.strict import StrictRoute
from agent.store.database.engine import Connections
from agent.store.outputs import projections, releases

router = APIRouter(route_class=StrictRoute, tags=["readings"])
_MOST_OUTCOMES = 100_000


@router.get("/markets/latest", responses=NOT_FOUND | CONFLICT)
async def markets(server: ServerHere, limit: Limit = 50, project_id: ProjectId = 0) -> list[MarketOut]:
    """Markets, those that changed last first."""
    found = await server.read(lambda at: projections.latest_markets(at.project, limit), project_id)
    return [MarketOut.model_validate(row) for row in found]


@router.get("/signals/latest", responses=NOT_FOUND | CONFLICT)
async def signals(
    server: ServerHere, limit: Limit = 50, project_id: ProjectId = 0, until: date | None = None
) -> list[SignalOut]:
    """What the current release decided, those to enter first, with what became of it where that is known; `until`: the
    last release of that day (UTC) or before."""

    def look(at: Connections) -> list[Any]:
        return list(projections.decisions_of(at.project, releases.release_in_force(at.project, until), limit))

    found = await server.read(look, project_id)
    return [SignalOut.model_validate(row) for row in found]


@router.get("/backtests/runs", responses=NOT_FOUND | CONFLICT)
async def backtests(server: ServerHere, limit: Limit = 20, project_id: ProjectId = 0) -> list[BacktestOut]:
    """Backtests, newest first, each with the metrics of the model and its baselines."""
    found = await server.read(lambda at: projections.backtest_runs(at.project, limit), project_id)
    return [BacktestOut.model_validate(row) for row in found]


@router.get("/backtests/runs/{snapshot_id}", responses=NOT_FOUND | CONFLICT)
async def backtest(
    server: ServerHere, snapshot_id: Annotated[int, Path(ge=1, le=2**31 - 1)], project_id: ProjectId = 0
) -> BacktestOut:
    """One backtest."""
    found = await server.read(lambda at: projections.backtest_run(at.project, snapshot_id), project_id)
    return BacktestOut.model_validate(found)


@router.get("/diagnostics/calibration", responses=NOT_FOUND | CONFLICT)
async def calibration(server: ServerHere, project_id: ProjectId = 0) -> Calibration:
    """Published predictions against what became of them, in bins of equal size."""

    def do(at: Connections) -> Calibration:
        score = projections.live_score(at.project)
        settled = projections.predictions_with_outcome(at.project, _MOST_OUTCOMES)
        return Calibration(count=score.settled, brier=score.brier, bins=_bins(settled))

    return await server.read(do, project_id, is_long=True)


def _bins(settled: list[dict[str, Any]]) -> list[Bin]:
    if not settled:
        return []
    import numpy as np

    from pipelines.modelling.metrics import calibration_bins

    probability = np.array([row["probability"] for row in settled], dtype=np.float64)
    outcome = np.array([row["outcome"] for row in settled], dtype=np.float64)
    return [Bin.model_validate(one) for one in calibration_bins(probability, outcome)]
