"""Answers of what the pipeline found: markets, signals, backtests, calibration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from agent.api.models import Utc, example


class MarketOut(BaseModel):
    """A market of the universe."""

    model_config = ConfigDict(extra="allow")
    source: str
    external_id: str
    market_id: str


class SignalOut(BaseModel):
    """A published prediction and, once it is known, what became of it."""

    model_config = ConfigDict(extra="allow")
    id: int
    market_id: str
    ts: Utc
    model_version: str
    probability: float
    confidence: float
    net_edge: float | None
    threshold: float | None
    distance: float | None
    weight: float | None
    action: str | None
    reason: str | None
    outcome: int | None


class BacktestOut(BaseModel):
    """A backtest: strategy -> metric -> value, null where it is not defined."""

    snapshot_id: int
    version: str
    created_at: Utc
    metrics: dict[str, dict[str, float | None]]


class Bin(BaseModel):
    """Predictions of similar probability: their mean, how often it came true, how many they are."""

    predicted: float
    observed: float
    rows: int


class Calibration(BaseModel):
    """Published predictions against outcomes. `brier` is the mean of (probability - outcome) squared."""

    model_config = example(count=200, brier=0.24, bins=[{"predicted": 0.55, "observed": 0.5, "rows": 20}])
    count: int
    brier: float | None
    bins: list[Bin]
