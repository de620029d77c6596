"""What the assessment says of one simulated set: a line per set, made in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.evaluation.assessment import assess
from pipelines.evaluation.evidence import Evidence
from pipelines.evaluation.intervals import Interval
from tests.simulated import momentum_set, null_set


@dataclass(frozen=True)
class Shown:
    """The verdict, and whether intervals cover what is true without skill: of the information coefficient 0, of the
    area under the curve and of the direction score one half."""

    verdict: str
    blocks: int
    covers: bool
    covers_area: bool
    covers_direction: bool


def null_shown(seed: int) -> Shown:
    """Nothing to find."""
    return _shown(null_set(seed))


def momentum_shown(seed: int) -> Shown:
    """An information coefficient of 0.05."""
    return _shown(momentum_set(seed))


def _shown(evidence: Evidence) -> Shown:
    found = assess(evidence)
    figures = found.figures
    return Shown(
        found.verdict.value,
        figures.brier.blocks,
        _covers(figures.ic, 0.0),
        _covers(figures.auc, 0.5),
        _covers(figures.direction, 0.5),
    )


def _covers(interval: Interval | None, value: float) -> bool:
    return interval is not None and interval.low <= value <= interval.high
