"""The learner: makes, fits, calibrates, hashes, stores and asks the estimator. Knows nothing of folds or partitions.

Fitting is seeded, so that the same rows give the same model on every host. Linear algebra is pinned to one thread, for
its sums depend on how many there are. Boosted trees use every core: each thread sums whole features, in the order of
the rows, so the same model comes out (tests/integration/test_learner_threads.py holds that on real labels).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pipelines.errors import PipelineError
from pipelines.modelling.offset import PriceOffset
from pipelines.parallel import cores, pinned
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Matrix = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int8]

Kind = Literal["averaged", "hgb", "logistic", "lightgbm", "offset"]
CALIBRATION_ROWS = 500  # fewer out-of-sample rows say more about chance than about the model
UNPROVEN_SLOPE = 0.5  # trees that fit the past are too sure of the future until shown otherwise
LEAST_SLOPE = 0.1
_NEWTON_STEPS = 30
# A leaf of fewer rows learns noise: neighbouring rows share most of their horizon, so 100 are worth a fraction of that.
_LEAST_LEAF_ROWS = 100
_LEAST_PROBABILITY = 1e-6
_PARALLEL_ROWS = 50_000
_LINE_STEPS = 200  # of the solver, beside however many trees


@dataclass(frozen=True)
class Recipe:
    """What a fit depends on beside its rows."""

    kind: Kind
    seed: int
    max_iter: int
    learning_rate: float
    max_leaf_nodes: int

    @property
    def has_offset(self) -> bool:
        """Whether it starts from the market's price, whose log odds are then the first feature."""
        return self.kind == "offset"


@dataclass(frozen=True)
class Calibration:
    """How far raw probabilities are trusted: logit(p) = logit(anchor) + slope x (logit(raw) - logit(anchor)).

    Platt scaling (Platt 1999) with the intercept tied to what a model that knows nothing would say, the training rows'
    base rate, or the price of a market whose outcome is forecast: one that turns out to know nothing (slope near 0)
    says that, and nothing worse.
    """

    slope: float
    base_rate: float

    def apply(self, raw: Floats, anchor: Floats | None = None) -> Floats:
        """Calibrated probabilities; `anchor` None: the base rate."""
        import numpy as np

        centre = _logit(np.asarray([self.base_rate]) if anchor is None else anchor)
        calibrated: Floats = 1 / (1 + np.exp(-(centre + self.slope * (_logit(raw) - centre))))
        return calibrated


@dataclass(frozen=True)
class FittedModel:
    """An estimator with its calibration and the features it wants, in order."""

    estimator: Any
    calibration: Calibration
    features: tuple[str, ...]

    def predict(self, rows: Matrix) -> Floats:
        """P(label is 1) of each row of features, 0..1."""
        import numpy as np

        anchor = None
        if isinstance(self.estimator, PriceOffset):
            anchor = 1 / (1 + np.exp(-rows[:, 0].astype(np.float64)))
        return self.calibration.apply(predict_raw(self.estimator, rows), anchor)

    def content_hash(self) -> str:
        """Hash over parameters and fitted arrays, field by field: equal for equal models, whatever their pickles."""
        hasher = hashlib.blake2b(digest_size=16)
        state = (self.features, self.calibration.slope, self.calibration.base_rate, self.estimator)
        for raw in _canonical(state):
            hasher.update(len(raw).to_bytes(8, "little"))
            hasher.update(raw)
        return hasher.hexdigest()

    def to_bytes(self) -> bytes:
        """The model as joblib writes it. Only library objects and plain values are inside."""
        import joblib

        buffer = io.BytesIO()
        joblib.dump(
            {
                "estimator": self.estimator,
                "calibration": (self.calibration.slope, self.calibration.base_rate),
                "features": self.features,
            },
            buffer,
            compress=3,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> FittedModel:
        """The model that `to_bytes` wrote. `data` runs code when loaded: pass only what the lake checked."""
        import joblib

        fields = joblib.load(io.BytesIO(data))
        return cls(fields["estimator"], Calibration(*fields["calibration"]), tuple(fields["features"]))


def fit(recipe: Recipe, rows: Matrix, labels: Labels, threads: int | None = None) -> Any:
    """A fitted scikit-learn classifier, by at most `threads` (None: one per core); the same by any number of them.
    `labels` must hold both 0 and 1. Raises PipelineError where the recipe asks for LightGBM and it is not installed."""
    import numpy as np

    estimator = _estimator(recipe)  # before the limits: a library loaded later would not be pinned
    # Few rows do not repay the threads' meeting after each feature.
    openmp = (threads or cores()) if len(rows) >= _PARALLEL_ROWS else 1
    # Too few iterations for logistic regression are a matter of precision, not of a failed run.
    with pinned(openmp, _convergence_warning()):
        values = rows.astype(np.float64)
        # scikit-learn 1.9 cannot bin a column that is missing everywhere (log odds, where no market is binary). A
        # constant has no split either.
        values[:, np.isnan(values).all(axis=0)] = 0.0
        return estimator.fit(values, labels)


def predict_raw(estimator: Any, rows: Matrix) -> Floats:
    """The estimator's own probability of label 1 for each row, not calibrated."""
    import numpy as np

    if len(rows) == 0:
        return np.empty(0)
    with pinned():
        probability: Floats = np.asarray(estimator.predict_proba(rows.astype(np.float64)), dtype=np.float64)[:, 1]
    return probability


def fit_slope(raw: Floats, base_rate: Floats, labels: Labels) -> float:
    """Calibration slope of greatest likelihood over out-of-sample rows, each with its own model's `base_rate`.

    At least LEAST_SLOPE: past bad luck must neither turn the model's order round nor make all markets look alike.
    UNPROVEN_SLOPE where there are fewer than CALIBRATION_ROWS rows.
    """
    import numpy as np

    if len(labels) < CALIBRATION_ROWS:
        return UNPROVEN_SLOPE
    centre = _logit(base_rate)
    distance = _logit(raw) - centre
    slope = UNPROVEN_SLOPE
    for _ in range(_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-(centre + slope * distance)))
        curvature = float((probability * (1 - probability) * distance**2).sum())
        if curvature == 0:
            return UNPROVEN_SLOPE  # the model predicts the base rate for every row
        step = float(((labels - probability) * distance).sum()) / curvature
        slope += max(-1.0, min(1.0, step))
    return max(LEAST_SLOPE, slope)


def fit_shrunk_slope(raw: Floats, price: Floats, labels: Labels, events: npt.NDArray[np.object_]) -> float:
    """Calibration slope of forecasts of outcomes about the market's price: that of greatest likelihood less its
    standard error, 0..1; 0 where that leaves nothing, or with fewer than CALIBRATION_ROWS rows. `events`: whose outcome
    each row is; rows of one count together (sandwich estimator: Liang and Zeger 1986, Biometrika 73).
    """
    import numpy as np

    if len(labels) < CALIBRATION_ROWS:
        return 0.0
    centre = _logit(price)
    distance = _logit(raw) - centre
    slope, curvature = 0.0, 0.0
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(centre + slope * distance)))
        curvature = float((p * (1 - p) * distance**2).sum())
        if curvature < 1e-12:
            return 0.0
        slope += max(-1.0, min(1.0, float(((labels - p) * distance).sum()) / curvature))
    _, event = np.unique(events.astype(str), return_inverse=True)
    p = 1 / (1 + np.exp(-(centre + slope * distance)))
    scores = np.bincount(event.reshape(-1), weights=(labels - p) * distance)
    return float(min(1.0, max(0.0, slope - float(np.sqrt((scores**2).sum())) / curvature)))


def _logit(probability: Floats) -> Floats:
    import numpy as np

    p = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    logit: Floats = np.log(p) - np.log1p(-p)
    return logit


def _estimator(recipe: Recipe) -> Any:
    makers = {"averaged": _averaged, "hgb": _trees, "logistic": _logistic, "lightgbm": _lightgbm, "offset": _offset}
    return makers[recipe.kind](recipe)


def _offset(recipe: Recipe) -> Any:
    return PriceOffset()


def _averaged(recipe: Recipe) -> Any:
    """The mean of trees and of a line: they err differently, so their mean errs less than either."""
    from sklearn.ensemble import VotingClassifier
    from sklearn.preprocessing import QuantileTransformer

    line = replace(recipe, max_iter=max(recipe.max_iter, _LINE_STEPS))
    # Ranks, so that a few wild values of a feature (a price that goes from 0.01 to 0.9) do not carry the line away.
    scaler = QuantileTransformer(n_quantiles=200, output_distribution="normal", random_state=recipe.seed)
    return VotingClassifier([("trees", _trees(recipe)), ("line", _linear(line, scaler))], voting="soft")


def _logistic(recipe: Recipe) -> Any:
    from sklearn.preprocessing import StandardScaler

    return _linear(recipe, StandardScaler())


def _linear(recipe: Recipe, scaler: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        scaler,  # first, since it leaves out what is missing: the middle is then 0, and finding it once is enough
        SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True),
        LogisticRegression(solver="newton-cholesky", max_iter=recipe.max_iter, random_state=recipe.seed),
    )


def _trees(recipe: Recipe) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=recipe.max_iter,
        learning_rate=recipe.learning_rate,
        max_leaf_nodes=recipe.max_leaf_nodes,
        min_samples_leaf=_LEAST_LEAF_ROWS,
        early_stopping=False,
        random_state=recipe.seed,
    )


def _lightgbm(recipe: Recipe) -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise PipelineError(
            "LightGBM is not installed",
            where='[model] kind = "lightgbm"',
            fix='pip install "tidemill[lightgbm]", or set kind = "averaged"',
        ) from error
    return lightgbm.LGBMClassifier(
        n_estimators=recipe.max_iter,
        learning_rate=recipe.learning_rate,
        num_leaves=recipe.max_leaf_nodes,
        min_child_samples=_LEAST_LEAF_ROWS,
        random_state=recipe.seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    kind: type[Warning] = ConvergenceWarning
    return kind


def _canonical(value: Any) -> Iterator[bytes]:
    """A fitted object as a flat sequence of bytes: plain values and arrays as they are, objects field by field.

    Structured arrays go by their fields: the padding between these is whatever lay in memory.
    """
    import numpy as np

    if hasattr(value, "booster_"):  # LightGBM writes itself down canonically
        yield value.booster_.model_to_string().encode()
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield from _canonical_array(value)
    elif isinstance(value, list | tuple | np.ndarray):
        yield f"sequence:{len(value)}".encode()
        for item in value:
            yield from _canonical(item)
    elif isinstance(value, Mapping):
        yield f"mapping:{len(value)}".encode()
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _canonical(value[key])
    elif isinstance(value, np.generic):
        yield from _canonical(value.item())
    elif value is None or isinstance(value, bool | int | float | str | np.dtype):
        yield f"{type(value).__name__}:{value!r}".encode()
    elif callable(value) and hasattr(value, "__qualname__"):
        yield value.__qualname__.encode()
    else:
        yield type(value).__qualname__.encode()
        yield from _canonical({k: v for k, v in vars(value).items() if k not in _NOT_CONTENT})


def _canonical_array(value: npt.NDArray[Any]) -> Iterator[bytes]:
    import numpy as np

    for name in value.dtype.names or ():
        yield name.encode()
        yield from _canonical_array(value[name])
    if not value.dtype.names:
        yield f"{value.dtype.str}:{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()


# Fields that depend on the host or serve fitting alone: a prediction does not change with them.
_NOT_CONTENT = frozenset({"n_threads", "n_jobs", "_feature_subsample_rng", "_loss"})
