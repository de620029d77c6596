"""What a deposit or a withdrawal does to the measures of gain and loss. Pure.

With E the equity just before a flow f: k = (E + f) / E; E0 := k E0; peak := k peak. So a deposit does not hide a loss,
and a withdrawal does not invent one: gain, loss and drawdown are the same before and after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent.amounts import share, total


@dataclass(frozen=True, slots=True)
class Baseline:
    """Where gain and loss (initial) and drawdown (peak) are measured from."""

    initial: Decimal
    peak: Decimal

    def seen(self, equity: Decimal) -> Baseline:
        """The peak rises with equity and never falls."""
        return Baseline(self.initial, max(self.peak, equity))


def after_flow(baseline: Baseline, equity: Decimal, flow: Decimal) -> Baseline:
    """The baseline after `flow` (above 0: a deposit) at an `equity` of just before it.

    Raises ValueError where there is nothing to scale: the account had nothing, or has nothing left. That ends a trader.
    """
    after = total((equity, flow))
    if equity <= 0 or after <= 0:
        raise ValueError(
            f"an equity of {equity} and a flow of {flow} leave nothing that gain and loss can be measured by"
        )
    return Baseline(share(baseline.initial, after, equity), share(baseline.peak, after, equity))
