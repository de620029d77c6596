"""The model: P(price up beyond cost over the horizon), judged out of sample by purged walk-forward folds.

What a fold's model knows stands in modelling.walk, what the folds show in evaluation.assessment.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipelines.component import Context, component
from pipelines.errors import PipelineError
from pipelines.evaluation.assessment import Assessment
from pipelines.evaluation.judging import judge
from pipelines.modelling.baselines import NAMES
from pipelines.modelling.folds import LADDER, SPANS_OF_DATA, Fold, choose_span, plan_folds
from pipelines.modelling.label_leaks import LabelsTested, find_label_leaks
from pipelines.modelling.labels import MARKET_FACTS, RESOLUTION, usual_spacing
from pipelines.modelling.learner import Calibration, FittedModel, Kind, Recipe, fit
from pipelines.modelling.metrics import beyond_base, feature_bins, forecast_metrics
from pipelines.modelling.retraining import defer_retraining
from pipelines.modelling.rows import UNKNOWN, Rows, rows_of
from pipelines.modelling.walk import (
    MIN_TRAIN_ROWS,
    FoldForecast,
    OutOfFold,
    Raw,
    Walk,
    errors_of,
    instant,
    is_enough,
    joined,
    moves_of,
    slope_of,
    training_rows,
)
from pipelines.settings import setting
from pipelines.snapshot import EVERYTHING, Reads, digest
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]  # microseconds since the epoch

_MEMO = ".folds.json"


@dataclass(frozen=True)
class Settings:
    """Section [model] of agent.toml."""

    MOVED: ClassVar[Mapping[str, str]] = {
        "cost_bps": "label, decision and backtest use one cost; write [markets.costs.equity] (or spot, fx, binary) "
        "fee_bps, half_spread_bps and slippage_bps of a fill, of which a round trip has two"
    }

    kind: Literal["averaged", "hgb", "hist_gradient_boosting", "logistic", "lightgbm"] = setting(
        "averaged",
        "the learner; averaged: mean of boosted trees and logistic regression, with returns in units of volatility and "
        "of the cross-section (trees alone where markets are binary); "
        "hgb (or hist_gradient_boosting, its older name): boosted trees on the features as they "
        "are; lightgbm needs the extra tidemill[lightgbm]",
    )
    target: Literal["moves", "resolution"] = setting(
        "moves",
        "what is predicted: moves, whether the price rises beyond cost over the horizon; resolution, what markets that "
        "pay 1 or 0 pay in the end, starting from their price (other markets are left out, and `kind` is not used)",
    )
    horizon_bars: int = setting(5, "how far ahead the price is predicted", unit="bars", low=1, high=10_000)
    seed: int = setting(7, "seed of everything random in the fit", low=0, high=2**31 - 1)
    max_iter: int = setting(100, "trees to grow, or steps of the logistic solver", low=1, high=10_000)
    learning_rate: float = setting(0.03, "shrinkage of each tree; unused by logistic", low=0.0001, high=1)
    max_leaf_nodes: int = setting(7, "leaves of a tree; unused by logistic", low=2, high=1024)
    test_span: Literal[
        "auto",
        "1h",
        "2h",
        "4h",
        "8h",
        "12h",
        "1d",
        "2d",
        "4d",
        "7d",
        "14d",
        "30d",
        "60d",
        "90d",
        "180d",
        "365d",
        "730d",
    ] = setting("auto", "length of a fold's test span; auto: the longest that is at most 1/8 of the history")
    max_train_bars: int | None = setting(None, "train on the newest bars only; unset: on all", unit="bar times", low=1)
    embargo_bars: int = setting(0, "bars between a training row's label and the test span", unit="bars", low=0)
    retrain: Literal["on_change", "rows", "interval", "drift"] = setting(
        "on_change", "when new data leads to a new model", counts=False
    )
    retrain_rows: int = setting(
        500, "for retrain = rows: new feature rows that call for it", unit="rows", low=1, counts=False
    )
    retrain_every_days: float = setting(
        30.0, "for retrain = interval: event time between models", unit="days", low=0, counts=False
    )
    psi_threshold: float = setting(0.25, "for retrain = drift: median PSI of the features", low=0, counts=False)
    brier_threshold: float = setting(
        0.27, "for retrain = drift: Brier score of live predictions", low=0, high=1, counts=False
    )

    def recipe(self, kinds: Collection[str] = ()) -> Recipe:
        """What the learner needs of these settings, for markets of these `kinds`.

        Prices of markets that pay 1 or 0 are no random walk: a line through their returns is worse than trees alone.
        """
        if self.target == "resolution":
            return Recipe("offset", self.seed, self.max_iter, self.learning_rate, self.max_leaf_nodes)
        kind: Kind = "hgb" if self.kind == "hist_gradient_boosting" else self.kind
        if kind == "averaged" and "binary" in kinds:
            kind = "hgb"
        return Recipe(kind, self.seed, self.max_iter, self.learning_rate, self.max_leaf_nodes)


@component(
    upstream={"features": EVERYTHING, "markets": Reads((*MARKET_FACTS, "event_id"))},
    settings=Settings,
    libraries=("scikit-learn",),
    policy=defer_retraining,
)
def train_model(ctx: Context, settings: Settings) -> None:
    """Predict each fold out of sample ("oof/…"), fit the final model on all labelled rows ("model", "model.json"), and
    score the folds ("metrics.json").

    Raises PipelineError, with the number of bars there are and are needed, where the history is too short.
    """
    rows, recipe, tested = _load_rows(ctx, settings)
    span = _test_span(rows, settings)
    folds = plan_folds(instant(rows.ts[0]), instant(rows.ts[-1]), span)
    found = _walk_forward(ctx, settings, recipe, rows, folds)
    scores = [_fold_score(rows, one) for one in found]
    if not any(score["rows"] for score in scores):
        raise _too_little(
            rows,
            f"no fold of {span / timedelta(hours=1):g} hours has {MIN_TRAIN_ROWS} rows of both outcomes to train on "
            "and an outcome to test on",
        )
    sample = joined([one.rows for one in found])
    assessment = judge(rows, sample, settings.horizon_bars)
    ctx.progress(len(folds), len(folds) + 1, "final model")
    _write_final(ctx, settings, recipe, rows, sample, span, assessment)
    figures = {**_verdict(assessment), **assessment.figures.to_json()}
    scored = {"overall": _score(rows, sample), "folds": scores, "assessment": figures}
    _write_json(ctx, "metrics.json", scored | {"labels": asdict(tested)})
    ctx.progress(len(folds) + 1, len(folds) + 1, "done")


def _load_rows(ctx: Context, settings: Settings) -> tuple[Rows, Recipe, LabelsTested]:
    """The rows to learn from, what they are learnt by, which the kinds of their markets decide, and what the leak test
    says of their labels."""
    source = ctx.inputs["features"]
    bars = source.read_all("bars/", ("market_id", "start", "end", "open", "close"))
    features = source.read_all("features/")
    if bars.is_empty() or features.is_empty():
        raise PipelineError("there are no bars to learn from", where="features", fix="add market data to a source")
    markets = ctx.inputs["markets"].read_all()
    if settings.target == "resolution" and "binary" not in markets.get_column("kind"):
        raise PipelineError(
            "there is no market that pays 1 or 0",
            where='[model] target = "resolution"',
            fix='set target = "moves", or add prediction markets to a source',
        )
    present = markets.join(features.select("market_id").unique(), on="market_id", how="semi")
    recipe = settings.recipe(present.get_column("kind").drop_nulls().unique().to_list())
    rows = rows_of(
        bars,
        features,
        markets,
        horizon_bars=settings.horizon_bars,
        embargo_bars=settings.embargo_bars,
        is_derived=recipe.kind == "averaged",
        to_resolution=settings.target == "resolution",
    )
    known = bars.rename({"end": "ts"})
    return rows, recipe, find_label_leaks(known, usual_spacing(bars), _horizon(settings), markets)


def _test_span(rows: Rows, settings: Settings) -> timedelta:
    labelled = int((rows.label != UNKNOWN).sum())
    needed = 2 * MIN_TRAIN_ROWS
    if labelled < needed:
        raise _too_little(rows, f"{labelled} of them have a known outcome, {needed} are needed to train and to test")
    if settings.test_span != "auto":
        return LADDER[settings.test_span]
    first, last = instant(rows.ts[0]), instant(rows.ts[-1])
    span = choose_span(first, last)
    if span is None:
        raise _too_little(rows, f"they cover {last - first}, and walk-forward folds need {SPANS_OF_DATA} hours")
    return span


def _too_little(rows: Rows, why: str) -> PipelineError:
    return PipelineError(
        f"too little data to train a model: there are {len(rows):,} bars with features; {why}",
        where="features",
        fix="add history to a source, shorten [model] test_span or horizon_bars, or set the interval of [features] "
        "to how far apart prices lie, in seconds (one price per day: 86400)",
    )


def _walk_forward(
    ctx: Context, settings: Settings, recipe: Recipe, rows: Rows, folds: Sequence[Fold]
) -> list[FoldForecast]:
    """Predict every fold that has enough to train on, and write its partition."""
    memo_before: Mapping[str, str] = json.loads(ctx.previous_bytes(_MEMO) or b"{}")
    memo: dict[str, str] = {}

    def carried(fold: Fold, train: Instants, test: Instants) -> Raw | None:
        memo[fold.key] = _fit_key(recipe, rows, train, test)
        return _carried(ctx, fold.key, len(test)) if memo_before.get(fold.key) == memo[fold.key] else None

    def on_fold(number: int, fold: Fold) -> None:
        ctx.progress(number, len(folds) + 1, f"fold from {fold.test_start:%Y-%m-%d %H:%M} UTC")

    walk = Walk(recipe, settings.horizon_bars, settings.max_train_bars, carried, on_fold)
    found = walk.forward(rows, folds)
    for one in found:
        _write_fold(ctx, settings, rows, one)
    _write_json(ctx, _MEMO, memo)
    return found


def _fit_key(recipe: Recipe, rows: Rows, train: Instants, test: Instants) -> str:
    """Hash over all that a fold's raw forecasts depend on: they are carried over while it stays the same."""
    import hashlib

    hasher = hashlib.blake2b(digest_size=16)
    used = [column[part] for column in (rows.volatility, rows.short, rows.long) for part in (train, test)]
    arrays: list[Any] = [rows.matrix[train], rows.label[train], rows.ts[train], rows.matrix[test], rows.ts[test], *used]
    for array in arrays:
        hasher.update(array.tobytes())
    return digest([repr(recipe), *rows.features, *map(str, rows.market[test]), hasher.hexdigest()])


def _carried(ctx: Context, key: str, rows: int) -> Raw | None:
    """Raw forecasts and baselines of fold `key` in the previous output; None where they are not to be had."""
    old = None if ctx.previous is None or key in ctx.redo else ctx.previous.by_key.get(key)
    if old is None or old.rows != rows:
        return None
    table = ctx.lake.read_table(old, ["raw_probability", *map(_column, NAMES)])
    baselines = {name: table.get_column(_column(name)).to_numpy() for name in NAMES}
    return table.get_column("raw_probability").to_numpy(), baselines


def _column(baseline: str) -> str:
    return f"p_{baseline.replace(' ', '_')}"


def _write_fold(ctx: Context, settings: Settings, rows: Rows, one: FoldForecast) -> None:
    import polars as pl

    at, label = one.rows.row, pl.Series(rows.label[one.rows.row], dtype=pl.Int8)
    frame = pl.DataFrame(
        {
            "market_id": pl.Series(rows.market[at].tolist(), dtype=pl.String),
            "ts": pl.Series(rows.ts[at]).cast(pl.Datetime("us", "UTC")),
            "probability": one.rows.probability,
            "raw_probability": one.rows.raw,
            "base_rate": one.rows.base_rate,  # of the training rows: what a model that knows nothing would say
            "horizon_bars": pl.Series([_horizon(settings)] * len(at), dtype=pl.Int32),
            "spacing_seconds": pl.Series(rows.spacing[at], dtype=pl.Int64),
            "label": label.set(label == UNKNOWN, None),
            "forward_return": pl.Series(rows.change[at]).fill_nan(None),
            # What the decision rule wants beside the probability: pipelines.decision.Forecast.
            "volatility": pl.Series(rows.volatility[at]).fill_nan(None),
            "up": pl.Series(one.rows.up).fill_nan(None),
            "down": pl.Series(one.rows.down).fill_nan(None),
            "error": pl.Series(one.rows.error).fill_nan(None),
            **{_column(name): forecast for name, forecast in one.rows.baselines.items()},
        }
    )
    ctx.write_table(one.fold.key, frame, time="ts")


def _score(rows: Rows, sample: OutOfFold) -> dict[str, Any]:
    import numpy as np

    known = rows.label[sample.row] != UNKNOWN
    label = rows.label[sample.row[known]].astype(np.float64)
    probability, base_rate = sample.probability[known], sample.base_rate[known]
    score = probability if rows.to_resolution else beyond_base(probability, base_rate)
    return forecast_metrics(probability, label, base_rate, score)


def _fold_score(rows: Rows, one: FoldForecast) -> dict[str, Any]:
    times = {"test_start": one.fold.test_start.isoformat(), "test_end": one.fold.test_end.isoformat()}
    return {**times, "train_rows": one.train_rows, **_score(rows, one.rows)}


def _write_final(
    ctx: Context,
    settings: Settings,
    recipe: Recipe,
    rows: Rows,
    sample: OutOfFold,
    span: timedelta,
    assessment: Assessment,
) -> None:
    import numpy as np

    train = training_rows(rows, np.iinfo(np.int64).max - 1, settings.max_train_bars)
    known = rows.label[sample.row] != UNKNOWN
    slope = slope_of(rows, sample, known)
    if not is_enough(rows.label[train]):
        raise _too_little(rows, f"{MIN_TRAIN_ROWS} with both outcomes are needed within [model] max_train_bars")
    estimator = fit(recipe, rows.matrix[train], rows.label[train])
    base_rate = float(rows.label[train].mean())
    model = FittedModel(estimator, Calibration(slope, base_rate), rows.features)
    ctx.write_bytes("model", model.to_bytes(), content=model.content_hash(), suffix=".joblib")
    card = {
        **asdict(recipe),
        "features": list(rows.features),
        "horizon_bars": settings.horizon_bars,
        "target": settings.target,
        "test_span_hours": span / timedelta(hours=1),
        "bars": len(rows),
        "training_rows": len(train),
        "training_start": instant(rows.ts[train[0]]).isoformat(),
        "training_end": instant(rows.ts[train[-1]]).isoformat(),
        "base_rate": base_rate,
        "calibration_slope": slope,
        "moves": moves_of(rows, train).to_json(),
        "errors": errors_of(rows, sample, known, settings.horizon_bars).to_json(),
        "assessment": _verdict(assessment),
        # How far apart the bars of each market usually are: more than GAP_FACTOR times as far is a gap.
        "spacing_seconds": {market: int(rows.spacing[rows.market == market][0]) for market in sorted(set(rows.market))},
        "distribution": {
            name: feature_bins(rows.matrix[train, column].astype(np.float64))
            for column, name in enumerate(rows.features)
        },
    }
    _write_json(ctx, "model.json", card)


def _horizon(settings: Settings) -> int:
    """How far ahead labels look, as labels have it."""
    return RESOLUTION if settings.target == "resolution" else settings.horizon_bars


def _verdict(assessment: Assessment) -> dict[str, Any]:
    """What others go by: the newest decisions of what is not tradable say hold, with that reason."""
    names = ("verdict", "tradable", "sentence", "reason")
    return {name: getattr(assessment, name) for name in names}


def _write_json(ctx: Context, key: str, value: Mapping[str, Any]) -> None:
    ctx.write_bytes(key, json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode())
