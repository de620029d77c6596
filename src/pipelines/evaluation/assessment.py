"""The assessment: one of four verdicts on out-of-fold rows, in an order that lets noise through least often."""

from __future__ import annotations

from enum import StrEnum

from pipelines.evaluation.evidence import BASE_RATE, LOGISTIC, PRICE, VOLATILITY, Evidence
from pipelines.evaluation.figures import Figures, figures
from pipelines.evaluation.intervals import Interval
from pipelines.figures import number_text
from pipelines.values import dataclass

LEAST_BLOCKS = 10  # fewer say nothing, whatever they show
_MOSTLY = 0.5  # share of the information coefficient that another forecast explains


class Verdict(StrEnum):
    """What the out-of-fold rows show."""

    EDGE = "EDGE"
    VOLATILITY_ONLY = "VOLATILITY ONLY"
    NO_EDGE = "NO EDGE"
    WORSE = "WORSE THAN BASE"


@dataclass(frozen=True)
class Assessment:
    """A verdict with the reason for it, whether it may be traded, and the figures it rests on.

    sentence: the first line that a person reads. reason: why the newest decisions say hold; empty where `tradable`.
    """

    verdict: Verdict
    tradable: bool
    sentence: str
    reason: str
    figures: Figures


def assess(evidence: Evidence) -> Assessment:
    """The verdict on `evidence`, tested in this order.

    WORSE THAN BASE: the interval of paired Brier, model minus base rate, lies above 0. With fewer than 10 blocks NO
    EDGE, too short to say. EDGE: the interval of the information coefficient lies above 0, the paired log loss against
    volatility and hour is below 0 on average, and on binary markets the interval of paired Brier against the price lies
    below 0. VOLATILITY ONLY: the interval of the label's AUC lies above 0.5 (not of forecasts of outcomes: it is the
    price's own). Else NO EDGE. All intervals are two-sided 95 %. Raises ValueError without rows.
    """
    found = figures(evidence)
    verdict, why = _verdict(found, evidence.to_resolution)
    if verdict is not Verdict.EDGE:
        return Assessment(verdict, False, f"{verdict}: {why}", f"{verdict}: {why}", found)
    net, even = found.earnings.net, found.earnings.break_even_bps
    explained = _explained(found) + ("; most of it gone when the entry comes one bar later" if found.fades else "")
    if net is not None and net.value > 0:
        return Assessment(verdict, True, f"{verdict}: {why}{explained}", "", found)
    below = "EDGE, below costs" + ("" if even is None else f": breaks even at {even:.1f} bp per fill")
    return Assessment(verdict, False, f"{below}; {why}{explained}", below, found)


def _verdict(found: Figures, to_resolution: bool) -> tuple[Verdict, str]:
    against_base = found.brier_against[BASE_RATE]
    if against_base.low > 0:
        return (
            Verdict.WORSE,
            f"Brier score {number_text(against_base.value, 4, sign=True)} against always saying the base rate",
        )
    if against_base.blocks < LEAST_BLOCKS:
        return Verdict.NO_EDGE, f"too short to say, {against_base.blocks} independent stretches of {LEAST_BLOCKS}"
    if _is_edge(found):
        assert found.ic is not None
        return Verdict.EDGE, f"information coefficient {_interval(found.ic, 3)}"
    price = found.brier_against.get(PRICE)
    if to_resolution and price is not None:
        return Verdict.NO_EDGE, (
            f"it does not beat the market's price (Brier {_interval(price, 4, sign=True)} against it)"
        )
    if found.auc is not None and found.auc.low > 0.5:
        return Verdict.VOLATILITY_ONLY, (
            f"it knows when a move beyond cost is likely (AUC {found.auc.value:.3f}), not which way"
        )
    return Verdict.NO_EDGE, "nothing that chance does not show"


def _interval(found: Interval, places: int, *, sign: bool = False) -> str:
    value, low, high = (number_text(one, places, sign=sign) for one in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _is_edge(found: Figures) -> bool:
    if found.ic is None or not found.ic.low > 0:
        return False
    volatility = found.log_loss_against.get(VOLATILITY)
    if volatility is not None and not volatility.value < 0:
        return False
    price = found.brier_against.get(PRICE)
    return price is None or price.high < 0


def _explained(found: Figures) -> str:
    """Which known effect explains most of the skill: said beside an edge, never instead of it."""
    shares = [(name != LOGISTIC, share, name) for name, share in found.explained.items() if share >= _MOSTLY]
    if not shares:
        return ""
    name = max(shares)[2]
    return "; mostly what a logistic regression finds too" if name == LOGISTIC else f"; mostly {name}"
