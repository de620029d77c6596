"""What is judged: out-of-fold rows with a known outcome, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

# Forecasts that a baseline makes, in the order in which they are shown.
BASE_RATE, VOLATILITY, MOMENTUM, REVERSAL, LOGISTIC, PRICE = (
    "base rate",
    "volatility and hour",
    "momentum",
    "reversal",
    "logistic",
    "market price",
)
BASELINES = (BASE_RATE, VOLATILITY, MOMENTUM, REVERSAL, LOGISTIC, PRICE)
LATER = (1, 5)  # bars by which an entry is put off to see how long skill lasts


@dataclass(frozen=True)
class Evidence:
    """Rows predicted by a model that was fitted on what was known before them, all arrays of the same length.

    label: 1 or 0. probability: of label 1. baselines: name -> probability by a baseline fitted in the same fold, NaN
    where it says nothing (the market price, of markets that are not binary). expected: the return that the forecast
    means; beyond: that less what the fold's base rate means (what one expects of holding such a market at such a time
    anyway), beyond_by: the same of each baseline. realised: the return that came; later: bars -> the one of an entry so
    many bars later. side: +1, -1 or 0, what the decision rule took at the costs set, side_free: at no costs. cost: of a
    round trip, as a fraction. block: see evaluation.blocks. moment: bar time, microseconds. is_binary: whether the
    market pays 1 or 0. market: its number. to_resolution: the label is what the market paid, so that the price is what
    one knows without a model, and `beyond` is what is expected beyond that.
    """

    label: Floats
    probability: Floats
    baselines: Mapping[str, Floats]
    expected: Floats
    beyond: Floats
    beyond_by: Mapping[str, Floats]
    realised: Floats
    later: Mapping[int, Floats]
    side: Floats
    side_free: Floats
    cost: Floats
    block: Integers
    moment: Integers
    is_binary: npt.NDArray[np.bool_]
    market: Integers
    to_resolution: bool = False

    def __len__(self) -> int:
        return len(self.label)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Evidence:
        """The rows that `chosen` marks."""
        columns: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool):
                continue
            is_many = isinstance(value, Mapping)
            columns[one.name] = {name: column[chosen] for name, column in value.items()} if is_many else value[chosen]
        return replace(self, **columns)
