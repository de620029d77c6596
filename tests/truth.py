"""What the assessment says of one simulated set: a line per set, made in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.evaluation.assessment import assess
from pipelines.evaluation.evidence import Evidence
from tests.simulated import momentum_set, null_set


@dataclass(frozen=True)
class Shown:
    """The verdict, and whether the interval of the information coefficient covers what is true without skill: 0."""

    verdict: str
    blocks: int
    covers: bool


def null_shown(seed: int) -> Shown:
    """Nothing to find."""
    return _shown(null_set(seed))


def momentum_shown(seed: int) -> Shown:
    """An information coefficient of 0.05."""
    return _shown(momentum_set(seed))


def _shown(evidence: Evidence) -> Shown:
    found = assess(evidence)
    ic = found.figures.ic
    covers = ic is not None and ic.low <= 0 <= ic.high
    return Shown(found.verdict.value, found.figures.brier.blocks, covers)
