"""Two-sided 95 % intervals over blocks.

A mean over rows is a ratio of block sums. Its interval is mean ± t x standard error, Student's t of (blocks - 1)
degrees of freedom: with few blocks the normal's 1.96 is too narrow (with 14 blocks a percentile bootstrap covers 91 %).
An area under the curve follows its blocks as a mean does (scores.auc_interval).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipelines.evaluation.blocks import block_sums, present
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

LEVEL = 0.95
_NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A figure with its two-sided 95 % interval and the number of blocks it rests on.

    With fewer than two blocks the bounds are infinite: nothing is known of the spread.
    """

    value: float
    low: float
    high: float
    blocks: int

    def to_json(self) -> dict[str, float | int | None]:
        """For a file: an unknown bound is null."""
        low, high = (bound if math.isfinite(bound) else None for bound in (self.low, self.high))
        return {"value": self.value, "low": low, "high": high, "blocks": self.blocks}


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t with `degrees` of freedom; infinite below one."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2)) if degrees >= 1 else math.inf


def mean_interval(values: Floats, blocks: Integers) -> Interval | None:
    """Interval of the mean of `values` over rows; None without rows.

    The ratio estimator R = sum s_b / sum n_b of block sums s and row counts n has the standard error
    sqrt(B / (B - 1) sum (s_b - R n_b)^2) / sum n_b over B blocks (Cochran 1977, Sampling Techniques, 6.3).
    """
    import numpy as np

    if len(values) == 0:
        return None
    blocks = present(blocks)
    sums, counts = block_sums(blocks, values), block_sums(blocks, np.ones(len(values)))
    number, mean = len(sums), float(sums.sum() / counts.sum())
    if number < 2:
        return Interval(mean, -math.inf, math.inf, number)
    residual = sums - mean * counts
    error = float(np.sqrt(number / (number - 1) * (residual**2).sum()) / counts.sum())
    half = student_t(number - 1) * error
    return Interval(mean, mean - half, mean + half, number)


def share_interval(hits: int, trials: int) -> Interval:
    """Share of `hits` in `trials` that know nothing of each other, with Wilson's interval (1927, JASA 22): within 0..1
    also where there is no hit. Raises ZeroDivisionError for no trials."""
    share, z = hits / trials, _NORMAL
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), trials)
