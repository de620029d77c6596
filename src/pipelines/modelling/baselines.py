"""What the model has to beat: forecasts of the same label, fitted on the same training rows of the same fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.modelling.learner import Recipe, fit, predict_raw
from pipelines.modelling.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

NAMES = ("volatility and hour", "momentum", "reversal", "logistic")
_DAY = 86_400_000_000
_NEWTON_STEPS = 25
_FARTHEST = 5.0  # a move of more than so many standard deviations counts as that
_STEPS = 200


def fit_baselines(rows: Rows, train: Integers, test: Integers, seed: int) -> dict[str, Floats]:
    """Probability of label 1 of each row in `test`, by each baseline in NAMES fitted on the rows in `train`.

    volatility and hour: logistic regression on ln volatility and the time of day (two harmonics). momentum: on the
    moves of the last bar, horizon and 60 bars, in units of volatility, with a slope of at least 0. reversal: on the
    moves of the last bar and horizon, with a slope of at most 0. logistic: regression on all features of the model.
    """
    recipe = Recipe("logistic", seed, _STEPS, 1.0, 2)
    label = rows.label[train]
    parts = (train, test)
    short, long = ([_bounded(column[part]) for part in parts] for column in (rows.short, rows.long))
    return {
        "volatility and hour": predict_raw(fit(recipe, _activity(rows, train), label), _activity(rows, test)),
        "momentum": _one_slope(short[0] + long[0], label, short[1] + long[1], sign=1),
        "reversal": _one_slope(short[0], label, short[1], sign=-1),
        "logistic": predict_raw(fit(recipe, rows.matrix[train], label), rows.matrix[test]),
    }


def _activity(rows: Rows, part: Integers) -> npt.NDArray[np.float32]:
    import numpy as np

    angle = (rows.ts[part] % _DAY) / _DAY * 2 * np.pi
    with np.errstate(divide="ignore", invalid="ignore"):
        volatility = np.log(rows.volatility[part])
    volatility[~np.isfinite(volatility)] = np.nan
    waves = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
    return np.column_stack([volatility, *waves]).astype(np.float32)


def _bounded(values: Floats) -> Floats:
    import numpy as np

    bounded: Floats = np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), -_FARTHEST, _FARTHEST)
    return bounded


def _one_slope(x: Floats, label: npt.NDArray[np.int8], asked: Floats, *, sign: int) -> Floats:
    """logit p = a + b x signal of greatest likelihood on the signals `x`, at the signals `asked`; where b has the other
    sign, the base rate."""
    import numpy as np

    rate = float(label.mean())
    intercept, slope = float(np.log(rate / (1 - rate))), 0.0
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(intercept + slope * x)))
        weight, error = p * (1 - p), label - p
        h00, h01, h11 = float(weight.sum()), float((weight * x).sum()), float((weight * x * x).sum())
        room = h00 * h11 - h01 * h01
        if room <= 1e-12 * h00 * max(h11, 1e-12):
            return np.full(len(asked), rate)  # the signal never varies
        g0, g1 = float(error.sum()), float((error * x).sum())
        intercept += max(-1.0, min(1.0, (h11 * g0 - h01 * g1) / room))
        slope += max(-1.0, min(1.0, (h00 * g1 - h01 * g0) / room))
    if slope * sign < 0:
        return np.full(len(asked), rate)
    forecast: Floats = 1 / (1 + np.exp(-(intercept + slope * asked)))
    return forecast
