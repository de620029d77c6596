"""Scores of forecasts of 0 and 1, and of expected against realised returns, each with its interval over blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.evaluation.blocks import present
from pipelines.evaluation.intervals import Interval, bootstrap_interval, mean_interval
from pipelines.modelling.metrics import auc

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

_LEAST_PROBABILITY = 1e-12
_CURVE_GROUPS = 200  # groups of equal size in which a resampled area under the curve is counted
_SEED = 20_260_101


@dataclass(frozen=True)
class Decomposition:
    """Brier score = reliability - resolution + uncertainty (Murphy 1973, Journal of Applied Meteorology 12).

    Over groups of equal forecasts that is exact; over groups of similar ones what varies inside them is `within`.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def squared_error(probability: Floats, label: Floats) -> Floats:
    """(p - y)^2 of each row: their mean is the Brier score."""
    error: Floats = (probability - label) ** 2
    return error


def log_error(probability: Floats, label: Floats) -> Floats:
    """-ln(probability given to what happened) of each row, in nats; probabilities kept 1e-12 away from 0 and 1."""
    import numpy as np

    p = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    error: Floats = -(label * np.log(p) + (1 - label) * np.log1p(-p))
    return error


def decompose(probability: Floats, label: Floats, groups: int = 10) -> Decomposition | None:
    """Murphy's decomposition of the Brier score over at most `groups` groups of similar forecasts, equal forecasts in
    the same one; None without rows."""
    import numpy as np

    if len(label) == 0:
        return None
    edges = np.unique(probability)
    if len(edges) > groups:
        edges = np.unique(np.quantile(probability, np.arange(1, groups) / groups))
    group = np.searchsorted(edges, probability, side="left")
    count = np.bincount(group).astype(np.float64)
    filled = count > 0
    p = np.bincount(group, weights=probability)[filled] / count[filled]
    y = np.bincount(group, weights=label)[filled] / count[filled]
    share, rate = count[filled] / len(label), float(label.mean())
    reliability = float((share * (p - y) ** 2).sum())
    resolution = float((share * (y - rate) ** 2).sum())
    uncertainty = rate * (1 - rate)
    brier = float(squared_error(probability, label).mean())
    return Decomposition(reliability, resolution, uncertainty, brier - (reliability - resolution + uncertainty))


def auc_interval(score: Floats, label: Floats, blocks: Integers) -> Interval | None:
    """Area under the ROC curve with its bootstrap interval; None where only one class occurs.

    The value is exact; draws count positives and negatives in 200 groups of equal size, ties within one half.
    """
    import numpy as np

    value = auc(score, label)
    if value is None:
        return None
    edges = np.unique(np.quantile(score, np.arange(1, _CURVE_GROUPS) / _CURVE_GROUPS))
    group = np.searchsorted(edges, score, side="right")
    blocks, size = present(blocks), len(edges) + 1
    shape = (int(blocks.max()) + 1, size)
    cell = blocks * size + group
    positive = np.bincount(cell, weights=label, minlength=shape[0] * size).reshape(shape)
    negative = np.bincount(cell, weights=1 - label, minlength=shape[0] * size).reshape(shape)

    def area(sums: Floats) -> Floats:
        up, down = sums[:, :size], sums[:, size:]
        below = np.cumsum(down, axis=1) - down / 2
        pairs = up.sum(axis=1) * down.sum(axis=1)
        counted = (up * below).sum(axis=1)
        found: Floats = np.divide(counted, pairs, out=np.full(len(sums), np.nan), where=pairs > 0)
        return found

    return bootstrap_interval(value, np.hstack([positive, negative]), area, seed=_SEED)


def information_coefficient(expected: Floats, realised: Floats, blocks: Integers) -> Interval | None:
    """Correlation about zero of expected with realised returns, sum xy / sqrt(sum x² sum y²), with its interval as a
    mean over blocks (Grinold and Kahn 1999, Active Portfolio Management); rows where either is not finite are left out.

    None with fewer than three rows, and where one of the two is always 0. About zero, for a forecast is known before
    its return and the sample's means and ranks are not: with forecasts that follow past returns, taking them away
    couples each forecast to the returns after it, and intervals of 95 % cover 86 % (docs/decisions/0028).
    """
    import numpy as np

    known = np.isfinite(expected) & np.isfinite(realised)
    if known.sum() < 3:
        return None
    x, y = expected[known], realised[known]
    x, y = (one / (np.abs(one).max() or 1.0) for one in (x, y))  # squares of tiny returns must not vanish
    scale = float(np.sqrt((x * x).mean() * (y * y).mean()))
    return None if scale == 0 else mean_interval(x * y / scale, blocks[known])


def direction_score(expected: Floats, realised: Floats, cost: Floats, blocks: Integers) -> Interval | None:
    """Area under the curve of `expected` for "up" against "down" among moves beyond `cost` (a fraction per row): what
    is known of the direction once it moves. The label's own area is not it: who knows the volatility knows that a move
    beyond cost is likelier, and nothing of its sign. None where there are no moves of both signs."""
    import numpy as np

    moved = np.isfinite(expected) & np.isfinite(realised) & (np.abs(realised) > cost)
    up = (realised[moved] > 0).astype(np.float64)
    return auc_interval(expected[moved], up, blocks[moved])


def paired(loss: Floats, other: Floats, blocks: Integers) -> Interval | None:
    """Interval of the mean difference of two forecasts' losses on the same rows: below 0, the first one is better.
    Rows where either is not finite are left out."""
    import numpy as np

    difference = loss - other
    known = np.isfinite(difference)
    return mean_interval(difference[known], blocks[known])
