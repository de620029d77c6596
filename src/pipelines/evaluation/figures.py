"""All figures of one set of out-of-fold rows, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.earnings import Earnings, earnings
from pipelines.evaluation.evidence import BASE_RATE, BASELINES, LOGISTIC, MOMENTUM, REVERSAL, Evidence
from pipelines.evaluation.intervals import Interval, mean_interval
from pipelines.evaluation.scores import (
    Decomposition,
    auc_interval,
    decompose,
    direction_score,
    information_coefficient,
    log_error,
    paired,
    squared_error,
)
from pipelines.modelling.metrics import beyond_base
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_EXPLAINING = (MOMENTUM, REVERSAL, LOGISTIC)


@dataclass(frozen=True)
class Figures:
    """brier_against, log_loss_against: baseline -> paired difference, model minus baseline, below 0 the model is
    better. ic_later: bars -> information coefficient of an entry so many bars later. ic_of: baseline -> its own.
    explained: baseline -> share of the information coefficient that vanishes once the baseline's forecast is held
    fixed. fades: whether more than 80 % of the skill is gone when the entry comes one bar later."""

    rows: int
    brier: Interval
    log_loss: Interval
    decomposition: Decomposition
    brier_against: Mapping[str, Interval]
    log_loss_against: Mapping[str, Interval]
    auc: Interval | None
    direction: Interval | None
    ic: Interval | None
    ic_later: Mapping[int, Interval | None]
    ic_of: Mapping[str, Interval | None]
    explained: Mapping[str, float]
    fades: bool
    earnings: Earnings

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values, for a file."""

        def plain(value: Any) -> Any:
            if isinstance(value, Interval):
                return value.to_json()
            if isinstance(value, Mapping):
                return {str(key): plain(one) for key, one in value.items()}
            return asdict(value) if isinstance(value, Decomposition) else value

        found = {name: plain(value) for name, value in vars(self).items() if name != "earnings"}
        return found | {"earnings": {name: plain(value) for name, value in vars(self.earnings).items()}}


def figures(evidence: Evidence) -> Figures:
    """Judge `evidence`. Raises ValueError without rows."""
    if len(evidence) == 0:
        raise ValueError("there are no out-of-fold rows with a known outcome")
    block, label, p = evidence.block, evidence.label, evidence.probability
    squared, logged = squared_error(p, label), log_error(p, label)
    brier, log_loss, parts = mean_interval(squared, block), mean_interval(logged, block), decompose(p, label)
    assert brier is not None
    assert log_loss is not None
    assert parts is not None
    score = p if evidence.to_resolution else beyond_base(p, evidence.baselines[BASE_RATE])
    ic = information_coefficient(evidence.beyond, evidence.realised, block)
    later = {bars: information_coefficient(evidence.beyond, r, block) for bars, r in evidence.later.items()}
    return Figures(
        rows=len(evidence),
        brier=brier,
        log_loss=log_loss,
        decomposition=parts,
        brier_against=_against(squared, squared_error, evidence),
        log_loss_against=_against(logged, log_error, evidence),
        auc=auc_interval(score, label, block),
        direction=direction_score(evidence.beyond, evidence.realised, evidence.cost, block),
        ic=ic,
        ic_later=later,
        ic_of={
            name: information_coefficient(one, evidence.realised, block) for name, one in evidence.beyond_by.items()
        },
        explained=_explained(evidence, ic),
        fades=_fades(ic, later.get(1)),
        earnings=earnings(evidence),
    )


def _against(loss: Floats, score: Any, evidence: Evidence) -> dict[str, Interval]:
    found = {}
    for name in BASELINES:
        other = evidence.baselines.get(name)
        interval = None if other is None else paired(loss, score(other, evidence.label), evidence.block)
        if interval is not None:
            found[name] = interval
    if BASE_RATE not in found:
        raise ValueError("the base rate of the training rows is missing")
    return found


def _explained(evidence: Evidence, ic: Interval | None) -> dict[str, float]:
    """1 - partial correlation / correlation, about zero, for each effect that the skill may be."""
    import numpy as np

    if ic is None or ic.value <= 0:
        return {}
    found = {}
    for name in _EXPLAINING:
        other = evidence.beyond_by.get(name)
        if other is None:
            continue
        known = np.isfinite(other) & np.isfinite(evidence.beyond) & np.isfinite(evidence.realised)
        if known.sum() < 3:
            continue
        x, y, z = (one[known] for one in (evidence.beyond, evidence.realised, other))
        if not (x.any() and y.any() and z.any()):
            continue
        xy, xz, yz = _about_zero(x, y), _about_zero(x, z), _about_zero(y, z)
        room = (1 - xz * xz) * (1 - yz * yz)
        partial = (xy - xz * yz) / room**0.5 if room > 1e-9 else 0.0
        found[name] = min(1.0, max(0.0, 1 - partial / xy)) if xy > 0 else 0.0
    return found


def _about_zero(one: Floats, other: Floats) -> float:
    return float((one @ other) / ((one @ one) * (other @ other)) ** 0.5)


def _fades(now: Interval | None, later: Interval | None) -> bool:
    return now is not None and later is not None and now.low > 0 and later.value < 0.2 * now.value
