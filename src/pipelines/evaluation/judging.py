"""From the folds' forecasts to the evidence that is judged, and the assessment of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.decision import entering, within_payoff
from pipelines.evaluation.assessment import Assessment, assess
from pipelines.evaluation.blocks import numbered
from pipelines.evaluation.evidence import BASE_RATE, PRICE, Evidence
from pipelines.modelling.rows import UNKNOWN, Rows
from pipelines.modelling.walk import OutOfFold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_SECOND = 1_000_000
_ROUNDING = 1e-9  # a forecast this near to the price is the price


def evidence_of(
    rows: Rows, sample: OutOfFold, horizon_bars: int, *, cost: Floats | None = None, allow_short: bool = True
) -> Evidence:
    """The rows of `sample` with a known outcome. `cost` takes the place of rows.cost."""
    import numpy as np

    known = np.flatnonzero(rows.label[sample.row] != UNKNOWN)
    at = sample.row[known]
    up, down = sample.up[known], sample.down[known]
    is_binary = rows.is_binary[at]

    def expected(probability: Floats) -> Floats:
        if rows.to_resolution:
            beyond_price = probability - rows.price[at]
            return np.where(np.abs(beyond_price) < _ROUNDING, 0.0, beyond_price)
        volatility, price = rows.volatility[at], rows.price[at]
        high, low = (within_payoff(volatility * one, price, is_binary) for one in (up, down))
        change: Floats = probability * high + (1 - probability) * low
        return change

    baselines = {name: one[known] for name, one in sample.baselines.items()}
    baselines[BASE_RATE] = sample.base_rate[known]
    by_model, anyway = expected(sample.probability[known]), expected(baselines[BASE_RATE])
    if rows.to_resolution:  # who knows nothing of an outcome takes the price for it
        baselines[PRICE] = rows.price[at]
        anyway = np.zeros(len(at))
    costs = (rows.cost if cost is None else cost)[at]
    may_short = is_binary | allow_short
    events = [event if binary else None for event, binary in zip(rows.event[at], is_binary, strict=True)]
    span = int(rows.spacing[at].max() if len(at) else 0) * horizon_bars * _SECOND
    _, market = np.unique(rows.market[at].astype(str), return_inverse=True)
    return Evidence(
        label=rows.label[at].astype(np.float64),
        probability=sample.probability[known],
        baselines=baselines,
        expected=by_model,
        beyond=by_model - anyway,
        beyond_by={name: expected(one) - anyway for name, one in baselines.items() if name not in (BASE_RATE, PRICE)},
        realised=rows.change[at],
        later={bars: one[at] for bars, one in rows.later.items()},
        side=_sides(by_model, costs, may_short),
        side_free=_sides(by_model, np.zeros(len(at)), may_short),
        cost=costs,
        to_resolution=rows.to_resolution,
        block=numbered(rows.ts[at], span, events),
        moment=rows.ts[at],
        is_binary=is_binary,
        market=market.reshape(-1).astype(np.int64),
    )


def judge(rows: Rows, sample: OutOfFold, horizon_bars: int) -> Assessment:
    """The assessment of the folds' forecasts. Raises ValueError where no outcome is known."""
    return assess(evidence_of(rows, sample, horizon_bars))


def _sides(expected: Floats, cost: Floats, may_short: npt.NDArray[np.bool_]) -> Floats:
    """What the decision rule takes at a net edge above 0."""
    import numpy as np

    known = np.nan_to_num(expected, nan=0.0)
    side = entering(known - cost, -known - cost, 0.0)
    return np.where(may_short | (side > 0), side, 0).astype(np.float64)
