"""A learner that starts from the market's own price: the features may only move its log odds, and only a little.

logit p = logit price + b · x, with x the features in units of their spread, kept within three of them, and b by ridge:
the likelihood less PENALTY / 2 · rows · |b|². There is no constant: what nothing is known of is worth its price.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

PENALTY = 1.0  # per row: rows of one market have one outcome, so they say far less than their number
_NEWTON_STEPS = 30
_FARTHEST = 3.0


@dataclass
class PriceOffset:
    """Fitted by `fit`, asked by `predict_proba`, as estimators of scikit-learn are. The first column of the features is
    the log odds of the price."""

    middle: Any = field(default=None)
    spread: Any = field(default=None)
    slopes: Any = field(default=None)

    def fit(self, values: Floats, labels: npt.NDArray[np.int8]) -> PriceOffset:
        """Learn from rows of features and their outcomes, 1 or 0."""
        import numpy as np

        with np.errstate(all="ignore"):
            self.middle = np.nan_to_num(np.nanmedian(values, axis=0))
            spread = np.nanstd(values, axis=0)
        self.spread = np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)
        x = self._scaled(values)
        slopes = np.zeros(x.shape[1])
        penalty = PENALTY * len(x) * np.eye(x.shape[1])
        for _ in range(_NEWTON_STEPS):
            p = 1 / (1 + np.exp(-(values[:, 0] + x @ slopes)))
            curvature = (x * (p * (1 - p))[:, None]).T @ x + penalty
            step = np.linalg.solve(curvature, x.T @ (labels - p) - penalty @ slopes)
            slopes = slopes + step
            if float(np.abs(step).max()) < 1e-10:
                break
        self.slopes = slopes
        return self

    def predict_proba(self, values: Floats) -> Floats:
        """P(0) and P(1) of each row."""
        import numpy as np

        p = 1 / (1 + np.exp(-(values[:, 0] + self._scaled(values) @ self.slopes)))
        return np.column_stack([1 - p, p])

    def _scaled(self, values: Floats) -> Floats:
        import numpy as np

        known = np.where(np.isfinite(values), values, self.middle)
        scaled: Floats = np.clip((known - self.middle) / self.spread, -_FARTHEST, _FARTHEST)
        return scaled
