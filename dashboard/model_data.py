"""The model and its backtest out of the lake: metrics, folds, drift, importance, equity. Cached by version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from agent.execution.backtests import Backtest, Sources, find_sources, read_backtest
from dashboard import data
from dashboard.data import Session
from pipelines.errors import LakeError
from pipelines.lake import Lake
from pipelines.modelling.folds import fold_start
from pipelines.snapshot import Partition, Snapshot

if TYPE_CHECKING:
    import polars as pl

CURVE_POINTS = 1200
_DRIFT_ROWS = 2000  # newest feature rows that are compared with the training rows
_IMPORTANCE_ROWS = 4000
_BLOCKS = 20  # stretches of time a fold is cut into: rows of one stretch share its luck
_Z95 = 1.96
_FOLDS = "oof/"
_CALENDAR = ("hour_", "weekday_")  # features of the clock alone


@dataclass(frozen=True)
class Drift:
    """How the newest rows of a feature differ from those the model was trained on."""

    feature: str
    psi: float
    edges: tuple[float, ...]
    trained: tuple[float, ...]
    newest: tuple[float, ...]


@dataclass(frozen=True)
class Fold:
    """A walk-forward fold: Brier scores with half the width of a 95 % interval of their difference."""

    start: datetime
    rows: int
    train_rows: int
    brier: float
    base_rate_brier: float
    gain: float
    margin: float | None
    auc: float | None


def card(desk: Session) -> dict[str, Any] | None:
    """The model card: learner, features, training span, distributions; None before the first model."""
    found = data.output(desk, "model")
    return None if found is None else _json(found.version, "model.json", desk.workspace.lake, found)


def metrics(desk: Session) -> dict[str, Any] | None:
    """The model's out-of-sample metrics: "overall" and "folds"."""
    found = data.output(desk, "model")
    return None if found is None else _json(found.version, "metrics.json", desk.workspace.lake, found)


def past_metrics(desk: Session, snapshot_id: int) -> dict[str, Any] | None:
    """The overall metrics of an earlier model; None where gc took its files."""
    try:
        found = data.snapshot(desk, snapshot_id)
        overall: dict[str, Any] = _json(found.version, "metrics.json", desk.workspace.lake, found)["overall"]
    except LakeError:
        return None
    return overall


def folds(desk: Session) -> list[Fold]:
    """The walk-forward folds in time order."""
    found = data.output(desk, "model")
    return [] if found is None else _folds(found.version, desk.workspace.lake, found)


def drift(desk: Session) -> list[Drift]:
    """Population stability index of each feature but hour and weekday over the newest rows, largest first."""
    model, features = data.output(desk, "model"), data.output(desk, "features")
    if model is None or features is None:
        return []
    found = _json(model.version, "model.json", desk.workspace.lake, model)
    return _drift(model.version, features.version, desk.workspace.lake, features, found["distribution"])


def importance(desk: Session) -> list[tuple[str, float]]:
    """Feature -> by how much the Brier score of the newest known rows rises when the feature is shuffled.

    Permutation importance (Breiman 2001, Machine Learning 45), most important first. Rows in training are among them:
    it says what the model uses, not what is useful.
    """
    model, features, markets = (data.output(desk, name) for name in ("model", "features", "markets"))
    if model is None or features is None or markets is None:
        return []
    versions = f"{features.version} {markets.version}"
    return _importance(model.version, versions, desk.workspace.lake, model, features, markets)


def backtest_metrics(desk: Session) -> dict[str, Any] | None:
    """Strategy -> metric -> value, as pipelines.modelling.metrics.equity_metrics names them."""
    found = data.output(desk, "backtest")
    return None if found is None else _json(found.version, "metrics.json", desk.workspace.lake, found)


def curves(desk: Session) -> pl.DataFrame | None:
    """Columns strategy, ts, equity, drawdown, exposure, costs (paid so far), at most CURVE_POINTS a strategy."""
    found = data.output(desk, "backtest")
    return None if found is None else _curves(found.version, desk.workspace.lake, found)


def predicted_to(desk: Session) -> datetime | None:
    """When the newest bar was known that the model predicted out of sample: later days of the backtest have no decision
    yet, since the model is trained again by its own policy. None where nothing was predicted."""
    found = data.output(desk, "model")
    return None if found is None else max((one.max_ts for one in found.select(_FOLDS) if one.max_ts), default=None)


def backtest(desk: Session) -> Backtest | None:
    """The model's whole equity and all its closed trades; None before the first, or where gc took its files."""
    made = backtest_sources(desk)
    return None if made is None else _backtest(made.backtest.version, desk.workspace.lake, made)


def backtest_sources(desk: Session) -> Sources | None:
    """The present backtest and what it was made from."""
    row = data.states(desk).get("backtest")
    with desk.workspace.database.reading() as connections:
        return find_sources(connections, None if row is None else row.output_snapshot_id)


@st.cache_data(show_spinner=False, max_entries=128)
def _json(version: str, key: str, _lake: Lake, _snapshot: Snapshot) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(_lake.read_bytes(_snapshot.by_key[key]))
    return value


@st.cache_data(show_spinner=False, max_entries=4)
def _folds(version: str, _lake: Lake, _snapshot: Snapshot) -> list[Fold]:
    scores = _json(version, "metrics.json", _lake, _snapshot)["folds"]
    parts = {fold_start(partition.key): partition for partition in _snapshot.select("oof/")}
    found = []
    for score in scores:
        start = datetime.fromisoformat(score["test_start"])
        if not score["rows"]:
            continue
        partition = parts.get(start.replace(second=0, microsecond=0))
        gain, margin = (None, None) if partition is None else _gain(_lake, partition)
        found.append(
            Fold(
                start,
                score["rows"],
                score["train_rows"],
                score["brier"],
                score["brier_base_rate"],
                score["brier_base_rate"] - score["brier"] if gain is None else gain,
                margin,
                score["auc"],
            )
        )
    return found


def _gain(lake: Lake, partition: Partition) -> tuple[float | None, float | None]:
    """Mean of how much better the model's squared error is than the base rate's, and half its 95 % interval."""
    import polars as pl

    table = lake.read_table(partition, ("ts", "probability", "base_rate", "label")).filter(
        pl.col("label").is_not_null()
    )
    if table.height < _BLOCKS:
        return None, None
    label = pl.col("label")
    better = (pl.col("base_rate") - label) ** 2 - (pl.col("probability") - label) ** 2
    means = (
        table.sort("ts")
        .with_columns(better.alias("better"), block=pl.int_range(pl.len()) * _BLOCKS // pl.len())
        .group_by("block")
        .agg(pl.col("better").mean())
        .get_column("better")
    )
    gain = table.select(better.mean()).item()
    deviation = means.std()
    assert isinstance(deviation, float)
    return gain, _Z95 * deviation / len(means) ** 0.5


@st.cache_data(show_spinner=False, max_entries=4)
def _drift(
    model_version: str, version: str, _lake: Lake, _features: Snapshot, _distribution: Mapping[str, Any]
) -> list[Drift]:
    import numpy as np
    import polars as pl

    from pipelines.modelling.metrics import bin_shares, population_stability_index

    rows = _newest_rows(_lake, _features, _DRIFT_ROWS)
    found = []
    for name, bins in _distribution.items():
        # Derived by the model: see pipelines.modelling.retraining.feature_drift. The clock's own drift says which part
        # of the week the newest rows are from, and nothing of the market.
        if name not in rows.columns or name.startswith(_CALENDAR):
            continue
        values = rows.get_column(name).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        psi = population_stability_index(values, bins)
        newest = bin_shares(values, np.asarray(bins["edges"]))
        found.append(Drift(name, psi, tuple(bins["edges"]), tuple(bins["shares"]), tuple(newest)))
    return sorted(found, key=lambda one: one.psi, reverse=True)


@st.cache_data(show_spinner=False, max_entries=4)
def _importance(
    model_version: str, version: str, _lake: Lake, _model: Snapshot, _features: Snapshot, _markets: Snapshot
) -> list[tuple[str, float]]:
    import numpy as np

    from pipelines.modelling.derived import completed
    from pipelines.modelling.labels import as_spacing, with_labels
    from pipelines.modelling.learner import FittedModel
    from pipelines.modelling.metrics import brier

    fitted = FittedModel.from_bytes(_lake.read_bytes(_model.by_key["model"]))
    facts = _json(model_version, "model.json", _lake, _model)
    rows = _newest_rows(_lake, _features, _IMPORTANCE_ROWS)
    bars = _bars_since(_lake, _features, rows.get_column("ts").min())
    spacing = as_spacing(facts["spacing_seconds"])
    markets = _lake.read_tables(_markets.select("markets"))
    labelled = with_labels(bars, spacing, facts["horizon_bars"], markets)
    labelled = labelled.drop_nulls("label")
    known = completed(rows, fitted.features).join(
        labelled.select("market_id", "ts", "label"), on=("market_id", "ts"), how="inner"
    )
    if known.is_empty() or any(name not in known.columns for name in fitted.features):
        return []
    matrix = np.ascontiguousarray(known.select(fitted.features).to_numpy(), dtype=np.float32)
    label = known.get_column("label").to_numpy().astype(np.float64)
    best = brier(fitted.predict(matrix), label)
    draw = np.random.default_rng(facts["seed"])
    found = []
    for column, name in enumerate(fitted.features):
        kept = matrix[:, column].copy()
        matrix[:, column] = draw.permutation(kept)
        found.append((name, brier(fitted.predict(matrix), label) - best))
        matrix[:, column] = kept
    return sorted(found, key=lambda one: one[1], reverse=True)


def _newest_rows(lake: Lake, features: Snapshot, count: int) -> pl.DataFrame:
    """At least `count` of the newest feature rows, where there are so many: whole bar times, newest partitions."""
    import polars as pl

    frames: list[pl.DataFrame] = []
    for partition in sorted(features.select("features/"), key=lambda p: p.key, reverse=True):
        frames.insert(0, lake.read_table(partition))
        if sum(frame.height for frame in frames) >= count:
            break
    rows = pl.concat(frames) if frames else pl.DataFrame()
    if rows.height <= count:
        return rows
    since = rows.get_column("ts").sort(descending=True)[count - 1]
    return rows.filter(pl.col("ts") >= since)


def _bars_since(lake: Lake, features: Snapshot, since: Any) -> pl.DataFrame:
    import polars as pl

    wanted = [p for p in features.select("bars/") if p.max_ts is not None and p.max_ts >= since]
    rows = lake.scan_tables(wanted).select("market_id", "open", "close", ts="end")
    return rows.filter(pl.col("ts") >= since).collect()


@st.cache_data(show_spinner=False, max_entries=6)
def _curves(version: str, _lake: Lake, _snapshot: Snapshot) -> pl.DataFrame:
    import polars as pl

    peak = pl.col("equity").cum_max().over("strategy")
    table = (
        _lake.read_tables(_snapshot.select("equity/"), ("strategy", "ts", "equity", "exposure", "costs"))
        .sort("strategy", "ts", maintain_order=True)
        .with_columns(drawdown=(peak - pl.col("equity")) / peak, costs=pl.col("costs").cum_sum().over("strategy"))
        .with_columns(number=pl.int_range(pl.len()).over("strategy"), count=pl.len().over("strategy"))
    )
    # The deepest drawdown of each stretch is kept; a plain sample would hide it.
    stretch = pl.col("number") * CURVE_POINTS // pl.max_horizontal(pl.col("count"), pl.lit(CURVE_POINTS))
    return (
        table.group_by("strategy", stretch.alias("stretch"), maintain_order=True)
        .agg(pl.col("ts", "equity", "exposure", "costs").last(), pl.col("drawdown").max())
        .drop("stretch")
    )


@st.cache_resource(show_spinner=False, max_entries=2)
def _backtest(version: str, _lake: Lake, _found: Sources) -> Backtest | None:
    return read_backtest(_lake, _found)
