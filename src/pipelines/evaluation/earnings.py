"""What the decisions on out-of-fold rows would have earned, per decision: at the costs set, at which cost nothing is
left, and against as many entries at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.costs import BASIS_POINT
from pipelines.evaluation.evidence import Evidence
from pipelines.evaluation.intervals import Interval, mean_interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FILLS = 2  # of a round trip
RANDOM_DRAWS = 200


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


@dataclass(frozen=True)
class RandomEntries:
    """Mean net returns per decision of entries at random, in rising order, and the share of them below the model's."""

    draws: tuple[float, ...]
    share_below: float

    def quantile(self, share: float) -> float:
        """The `share` quantile of the draws."""
        import numpy as np

        return float(np.quantile(self.draws, share))


def random_entries(evidence: Evidence, *, seed: int, draws: int = RANDOM_DRAWS) -> RandomEntries | None:
    """As many entries as the model made in each market, on the same sides, at times drawn at random without
    replacement; None where the model made none.

    The exposure stays the model's: same markets, same sides, same number. What is left to chance is when.
    """
    import numpy as np

    taken = np.flatnonzero(evidence.side != 0)
    if len(taken) == 0:
        return None
    rng = np.random.default_rng(seed)
    total = np.zeros(draws)
    for market in np.unique(evidence.market[taken]):
        rows = np.flatnonzero(evidence.market == market)
        sides = evidence.side[taken[evidence.market[taken] == market]]
        for number in range(draws):
            at = rng.choice(rows, size=len(sides), replace=False)
            total[number] += float((sides * evidence.realised[at] - evidence.cost[at]).sum())
    own = float((evidence.side * evidence.realised - evidence.cost)[taken].mean())
    found = np.sort(total / len(taken))
    return RandomEntries(tuple(found.tolist()), float((found < own).mean()))
