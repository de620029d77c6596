"""The model: P(price up beyond cost over the horizon), judged out of sample by purged walk-forward folds.

A fold's model knows only what was known when its test span begins: training rows whose label window (plus embargo)
reaches past that instant are dropped (Lopez de Prado 2018, Advances in Financial Machine Learning, ch. 7). Rows of a
resolved market from its resolution on are left out: its price is then the outcome itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipelines.component import Context, component
from pipelines.errors import PipelineError
from pipelines.modelling.folds import LADDER, SPANS_OF_DATA, Fold, choose_span, plan_folds
from pipelines.modelling.labels import MARKET_FACTS, usual_spacing, with_labels
from pipelines.modelling.learner import Calibration, FittedModel, Recipe, fit, fit_slope, predict_raw
from pipelines.modelling.metrics import feature_bins, forecast_metrics
from pipelines.modelling.moves import Errors, Moves, fit_errors, fit_moves, volatility
from pipelines.modelling.retraining import defer_retraining
from pipelines.settings import setting
from pipelines.snapshot import EVERYTHING, Reads, digest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]  # microseconds since the epoch

MIN_TRAIN_ROWS = 200
_MEMO = ".folds.json"
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN = -1  # label of a row whose outcome is not known


@dataclass(frozen=True)
class Settings:
    """Section [model] of agent.toml."""

    MOVED: ClassVar[Mapping[str, str]] = {
        "cost_bps": "label, decision and backtest use one cost; write [markets.costs.equity] (or spot, fx, binary) "
        "fee_bps, half_spread_bps and slippage_bps of a fill, of which a round trip has two"
    }

    kind: Literal["hist_gradient_boosting", "logistic", "lightgbm"] = setting(
        "hist_gradient_boosting", "the learner; lightgbm needs the extra tidemill[lightgbm]"
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

    def recipe(self) -> Recipe:
        """What the learner needs of these settings."""
        return Recipe(self.kind, self.seed, self.max_iter, self.learning_rate, self.max_leaf_nodes)


@dataclass(frozen=True)
class Rows:
    """Feature rows in the order of (ts, market), column by column. An unknown label is -1, its other columns NaN."""

    features: tuple[str, ...]
    matrix: npt.NDArray[np.float32]
    market: npt.NDArray[np.object_]
    kind: npt.NDArray[np.object_]
    ts: Instants
    known_at: Instants  # when the label was known, embargo added; unknown labels: never
    label: npt.NDArray[np.int8]
    spacing: npt.NDArray[np.int64]  # seconds, of the row's market
    forward_return: npt.NDArray[np.float64]
    volatility: npt.NDArray[np.float64]  # over the horizon, in the unit of forward_return

    def __len__(self) -> int:
        return len(self.ts)


@dataclass
class OutOfSample:
    """What the folds so far predicted, in time order."""

    raw: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    base_rate: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]  # index into Rows
    expected: npt.NDArray[np.float64]  # change of the price


@component(
    upstream={"features": EVERYTHING, "markets": Reads(MARKET_FACTS)},
    settings=Settings,
    libraries=("scikit-learn",),
    policy=defer_retraining,
)
def train_model(ctx: Context, settings: Settings) -> None:
    """Predict each fold out of sample ("oof/…"), fit the final model on all labelled rows ("model", "model.json"), and
    score the folds ("metrics.json").

    Raises PipelineError, with the number of bars there are and are needed, where the history is too short.
    """
    rows = _load_rows(ctx, settings)
    span = _test_span(rows, settings)
    folds = plan_folds(_instant(rows.ts[0]), _instant(rows.ts[-1]), span)
    sample, scores = _walk_forward(ctx, settings, rows, folds)
    if not any(score["rows"] for score in scores):
        raise _too_little(
            rows,
            f"no fold of {span / timedelta(hours=1):g} hours has {MIN_TRAIN_ROWS} rows of both outcomes to train on "
            "and an outcome to test on",
        )
    ctx.progress(len(folds), len(folds) + 1, "final model")
    _write_final(ctx, settings, rows, sample, span)
    overall = _score(rows, sample.row, sample.probability, sample.base_rate)
    _write_json(ctx, "metrics.json", {"overall": overall, "folds": scores})
    ctx.progress(len(folds) + 1, len(folds) + 1, "done")


def _load_rows(ctx: Context, settings: Settings) -> Rows:
    import numpy as np
    import polars as pl

    source = ctx.inputs["features"]
    bars = source.read_all("bars/", ("market_id", "start", "end", "open", "close"))
    features = source.read_all("features/")
    if bars.is_empty() or features.is_empty():
        raise PipelineError("there are no bars to learn from", where="features", fix="add market data to a source")
    markets = ctx.inputs["markets"].read_all()
    embargo = settings.embargo_bars * (pl.col("ts") - pl.col("start"))
    spacing = usual_spacing(bars)
    known = bars.rename({"end": "ts"})
    labelled = with_labels(known, spacing, settings.horizon_bars, markets)
    table = (
        features.join(labelled, on=("market_id", "ts"), how="inner")
        .join(markets.select("market_id", "kind", "resolved_at"), on="market_id", how="left")
        .join(spacing, on="market_id", how="left")
        .filter(pl.col("resolved_at").is_null() | (pl.col("ts") < pl.col("resolved_at")))
        .with_columns(known_at=pl.col("label_end") + embargo)
        .sort("ts", "market_id")
    )
    names = tuple(name for name in features.columns if name not in ("market_id", "ts"))
    never = np.iinfo(np.int64).max
    return Rows(
        features=names,
        matrix=np.ascontiguousarray(table.select(names).to_numpy(), dtype=np.float32),
        market=table.get_column("market_id").to_numpy(),
        kind=table.get_column("kind").fill_null("unknown").to_numpy(),
        ts=table.get_column("ts").cast(pl.Int64).to_numpy(),
        known_at=table.get_column("known_at").cast(pl.Int64).fill_null(never).to_numpy(),
        label=table.get_column("label").fill_null(_UNKNOWN).to_numpy(),
        spacing=table.get_column("spacing_seconds").to_numpy(),
        forward_return=table.get_column("forward_return").to_numpy(),
        volatility=volatility(table, settings.horizon_bars),
    )


def _test_span(rows: Rows, settings: Settings) -> timedelta:
    labelled = int((rows.label != _UNKNOWN).sum())
    needed = 2 * MIN_TRAIN_ROWS
    if labelled < needed:
        raise _too_little(rows, f"{labelled} of them have a known outcome, {needed} are needed to train and to test")
    if settings.test_span != "auto":
        return LADDER[settings.test_span]
    first, last = _instant(rows.ts[0]), _instant(rows.ts[-1])
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
    ctx: Context, settings: Settings, rows: Rows, folds: Sequence[Fold]
) -> tuple[OutOfSample, list[dict[str, Any]]]:
    """Predict every fold that has enough to train on, write its partition, and score it."""
    import numpy as np

    memo_before: Mapping[str, str] = json.loads(ctx.previous_bytes(_MEMO) or b"{}")
    memo: dict[str, str] = {}
    sample = OutOfSample(np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), np.empty(0))
    scores = []
    for number, fold in enumerate(folds):
        ctx.progress(number, len(folds) + 1, f"fold from {fold.test_start:%Y-%m-%d %H:%M}")
        start = _microseconds(fold.test_start)
        low, high = np.searchsorted(rows.ts, [start, _microseconds(fold.test_end)])
        train = _training_rows(rows, start, settings.max_train_bars)
        test = np.arange(low, high)
        if len(test) == 0 or not _is_enough(rows.label[train]):
            continue
        memo[fold.key] = _fit_key(settings, rows, train, test)
        raw = _carried(ctx, fold.key, len(test)) if memo_before.get(fold.key) == memo[fold.key] else None
        if raw is None:
            estimator = fit(settings.recipe(), rows.matrix[train], rows.label[train])
            raw = predict_raw(estimator, rows.matrix[test])
        known = rows.known_at[sample.row] <= start
        slope = fit_slope(sample.raw[known], sample.base_rate[known], rows.label[sample.row[known]])
        base_rate = np.full(len(test), rows.label[train].mean())
        probability = Calibration(slope, float(base_rate[0])).apply(raw)
        moves, errors = _moves(rows, train), _errors(settings, rows, sample, known)
        sample = OutOfSample(
            np.concatenate([sample.raw, raw]),
            np.concatenate([sample.probability, probability]),
            np.concatenate([sample.base_rate, base_rate]),
            np.concatenate([sample.row, test]),
            np.concatenate([sample.expected, _expected(rows, test, probability, moves)]),
        )
        decided = {"error": errors.at(probability), **dict(zip(("up", "down"), moves.of(rows.kind[test]), strict=True))}
        _write_fold(ctx, settings, rows, fold.key, test, raw, probability, base_rate, decided)
        score = _score(rows, test, probability, base_rate)
        times = {"test_start": fold.test_start.isoformat(), "test_end": fold.test_end.isoformat()}
        scores.append({**times, "train_rows": len(train), **score})
    _write_json(ctx, _MEMO, memo)
    return sample, scores


def _training_rows(rows: Rows, before: int, max_bars: int | None) -> npt.NDArray[np.int64]:
    """Indices of labelled rows whose label, embargo added, was known at `before`, the newest `max_bars` bar times."""
    import numpy as np

    usable = (rows.label != _UNKNOWN) & (rows.known_at <= before)
    if max_bars is not None:
        times = np.unique(rows.ts[usable])
        if len(times) > max_bars:
            usable &= rows.ts >= times[-max_bars]
    return np.flatnonzero(usable)


def _is_enough(labels: npt.NDArray[np.int8]) -> bool:
    return len(labels) >= MIN_TRAIN_ROWS and int(labels.min()) != int(labels.max())


def _fit_key(settings: Settings, rows: Rows, train: Instants, test: Instants) -> str:
    """Hash over all that a fold's raw predictions depend on: they are carried over while it stays the same."""
    import hashlib

    hasher = hashlib.blake2b(digest_size=16)
    for array in (rows.matrix[train], rows.label[train], rows.matrix[test], rows.ts[test]):
        hasher.update(array.tobytes())
    return digest([repr(settings.recipe()), *rows.features, *map(str, rows.market[test]), hasher.hexdigest()])


def _carried(ctx: Context, key: str, rows: int) -> npt.NDArray[np.float64] | None:
    """Raw predictions of fold `key` in the previous output; None where they are not to be had."""
    old = None if ctx.previous is None or key in ctx.redo else ctx.previous.by_key.get(key)
    if old is None or old.rows != rows:
        return None
    return ctx.lake.read_table(old, ["raw_probability"]).get_column("raw_probability").to_numpy()


def _write_fold(
    ctx: Context,
    settings: Settings,
    rows: Rows,
    key: str,
    test: Instants,
    raw: npt.NDArray[np.float64],
    probability: npt.NDArray[np.float64],
    base_rate: npt.NDArray[np.float64],
    decided: Mapping[str, npt.NDArray[np.float64]],
) -> None:
    """`decided`: what the decision rule wants beside the probability, by column (pipelines.decision.Forecast)."""
    import polars as pl

    label = pl.Series(rows.label[test], dtype=pl.Int8)
    frame = pl.DataFrame(
        {
            "market_id": pl.Series(rows.market[test].tolist(), dtype=pl.String),
            "ts": pl.Series(rows.ts[test]).cast(pl.Datetime("us", "UTC")),
            "probability": probability,
            "raw_probability": raw,
            "base_rate": base_rate,  # of the training rows: what a model that knows nothing would say
            "horizon_bars": pl.Series([settings.horizon_bars] * len(test), dtype=pl.Int32),
            "spacing_seconds": pl.Series(rows.spacing[test], dtype=pl.Int64),
            "label": label.set(label == _UNKNOWN, None),
            "forward_return": pl.Series(rows.forward_return[test]).fill_nan(None),
            "volatility": pl.Series(rows.volatility[test]).fill_nan(None),
            **{name: pl.Series(values).fill_nan(None) for name, values in decided.items()},
        }
    )
    ctx.write_table(key, frame, time="ts")


def _score(
    rows: Rows, index: Instants, probability: npt.NDArray[np.float64], base_rate: npt.NDArray[np.float64]
) -> dict[str, Any]:
    import numpy as np

    known = rows.label[index] != _UNKNOWN
    return forecast_metrics(probability[known], rows.label[index[known]].astype(np.float64), base_rate[known])


def _write_final(ctx: Context, settings: Settings, rows: Rows, sample: OutOfSample, span: timedelta) -> None:
    import numpy as np

    train = _training_rows(rows, np.iinfo(np.int64).max - 1, settings.max_train_bars)
    known = rows.label[sample.row] != _UNKNOWN
    slope = fit_slope(sample.raw[known], sample.base_rate[known], rows.label[sample.row[known]])
    if not _is_enough(rows.label[train]):
        raise _too_little(rows, f"{MIN_TRAIN_ROWS} with both outcomes are needed within [model] max_train_bars")
    estimator = fit(settings.recipe(), rows.matrix[train], rows.label[train])
    base_rate = float(rows.label[train].mean())
    model = FittedModel(estimator, Calibration(slope, base_rate), rows.features)
    ctx.write_bytes("model", model.to_bytes(), content=model.content_hash(), suffix=".joblib")
    card = {
        **asdict(settings.recipe()),
        "features": list(rows.features),
        "horizon_bars": settings.horizon_bars,
        "test_span_hours": span / timedelta(hours=1),
        "bars": len(rows),
        "training_rows": len(train),
        "training_start": _instant(rows.ts[train[0]]).isoformat(),
        "training_end": _instant(rows.ts[train[-1]]).isoformat(),
        "base_rate": base_rate,
        "calibration_slope": slope,
        "moves": _moves(rows, train).to_json(),
        "errors": _errors(settings, rows, sample, known).to_json(),
        # How far apart the bars of each market usually are: more than GAP_FACTOR times as far is a gap.
        "spacing_seconds": {market: int(rows.spacing[rows.market == market][0]) for market in sorted(set(rows.market))},
        "distribution": {
            name: feature_bins(rows.matrix[train, column].astype(np.float64))
            for column, name in enumerate(rows.features)
        },
    }
    _write_json(ctx, "model.json", card)


def _moves(rows: Rows, train: Instants) -> Moves:
    return fit_moves(rows.kind[train], rows.label[train], rows.forward_return[train], rows.volatility[train])


def _expected(
    rows: Rows, index: Instants, probability: npt.NDArray[np.float64], moves: Moves
) -> npt.NDArray[np.float64]:
    """Expected change of each row's price, before the payoff of binary markets bounds it."""
    up, down = moves.of(rows.kind[index])
    return rows.volatility[index] * (probability * up + (1 - probability) * down)


def _errors(settings: Settings, rows: Rows, sample: OutOfSample, known: npt.NDArray[np.bool_]) -> Errors:
    """How far expected changes were off in the out-of-sample rows that are `known`."""
    index = sample.row[known]
    return fit_errors(
        sample.probability[known],
        sample.expected[known],
        rows.forward_return[index],
        rows.volatility[index],
        settings.horizon_bars,
    )


def _write_json(ctx: Context, key: str, value: Mapping[str, Any]) -> None:
    ctx.write_bytes(key, json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode())


def _instant(microseconds: int) -> datetime:
    return _EPOCH + int(microseconds) * _MICROSECOND


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND
