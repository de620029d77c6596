"""What the decisions on out-of-fold rows would have earned, per decision: at the costs set, and at which cost nothing
is left. (Entries at random at the model's exposure: pipelines.modelling.random_entries.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.costs import BASIS_POINT
from pipelines.evaluation.evidence import Evidence
from pipelines.evaluation.intervals import Interval, mean_interval
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FILLS = 2  # of a round trip


@dataclass(frozen=True)
class Earnings:
    """Returns per decision, as fractions.

    net: mean net return at the costs set, None where the rule took nothing. break_even_bps: cost of one fill, in basis
    points, at which the decisions earn nothing; of those at the costs set, or where there are none of those at no
    costs; None where there are no decisions at all.
    """

    decisions: int
    net: Interval | None
    break_even_bps: float | None


def earnings(evidence: Evidence) -> Earnings:
    """Figures of the decisions in `evidence`: each earns side x realised return, less the cost of its round trip."""
    import numpy as np

    taken = evidence.side != 0
    gross = evidence.side * evidence.realised
    net = mean_interval((gross - evidence.cost)[taken], evidence.block[taken])
    counted = gross[taken] if taken.any() else (evidence.side_free * evidence.realised)[evidence.side_free != 0]
    mean = float(np.mean(counted)) if len(counted) else None
    return Earnings(int(taken.sum()), net, None if mean is None else mean / FILLS / BASIS_POINT)
