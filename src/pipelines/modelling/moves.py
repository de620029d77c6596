"""How far prices move where they go up beyond cost and where they do not, in units of the market's own volatility.

Learnt from training rows alone. u and d are sums of moves over sums of volatilities: means of move / v weighted by v,
so that a market which hardly ever moves does not decide. The standard error of the expected change comes, bin by bin
of the predicted probability, from what earlier out-of-sample predictions left unexplained; rows whose horizons overlap
count as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float64]
    Kinds = npt.NDArray[np.object_]

ALL = "all"
BINS = 10
LEAST_ROWS = 500  # of out-of-sample predictions, for standard errors by bin
VOLATILITIES = ("volatility_long", "volatility_short")  # features: per bar, of log returns


def volatility(rows: pl.DataFrame, horizon_bars: int) -> Floats:
    """v of each row of features with `kind` and `close`: volatility per bar x sqrt(horizon), as a fraction; of a binary
    market x its price, in units of its payoff. NaN where it is not known yet."""
    import numpy as np
    import polars as pl

    known = [pl.col(name).cast(pl.Float64) for name in VOLATILITIES if name in rows.columns]
    if not known:
        return np.full(rows.height, math.nan)
    scale = pl.when(pl.col("kind") == "binary").then(pl.col("close")).otherwise(1.0) * math.sqrt(horizon_bars)
    values: Floats = rows.select((pl.coalesce(known) * scale).fill_null(math.nan)).to_series().to_numpy()
    return values


@dataclass(frozen=True)
class Moves:
    """u and d by kind of market, and for "all" together."""

    up: Mapping[str, float]
    down: Mapping[str, float]

    def of(self, kinds: Kinds) -> tuple[Floats, Floats]:
        """u and d of each row."""
        import numpy as np

        return tuple(  # type: ignore[return-value]  # two of them
            np.asarray([table.get(kind, table[ALL]) for kind in kinds], dtype=np.float64)
            for table in (self.up, self.down)
        )

    def to_json(self) -> dict[str, dict[str, float]]:
        return {kind: {"up": self.up[kind], "down": self.down[kind]} for kind in sorted(self.up)}

    @classmethod
    def from_json(cls, table: Mapping[str, Mapping[str, float]]) -> Moves:
        return cls(*({kind: row[side] for kind, row in table.items()} for side in ("up", "down")))


def fit_moves(kinds: Kinds, labels: npt.NDArray[np.int8], changes: Floats, volatilities: Floats) -> Moves:
    """u and d of training rows with a known label; a kind that knows but one outcome has the overall mean for the
    other."""
    import numpy as np

    usable = np.isfinite(volatilities) & (volatilities > 0) & np.isfinite(changes)
    tables: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for table, label in zip(tables, (1, 0), strict=True):
        mine = usable & (labels == label)
        table[ALL] = _ratio(changes[mine], volatilities[mine], 0.0)
        for kind in sorted(set(kinds.tolist())):
            here = mine & (kinds == kind)
            table[kind] = _ratio(changes[here], volatilities[here], table[ALL])
    return Moves(*tables)


def _ratio(changes: Floats, volatilities: Floats, otherwise: float) -> float:
    total = float(volatilities.sum())
    return float(changes.sum()) / total if total > 0 else otherwise


@dataclass(frozen=True)
class Errors:
    """Standard error of the expected change, in units of v, by bin of the probability: values[i] below edges[i]."""

    edges: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, probability: Floats) -> Floats:
        """Of each row; NaN where none is known."""
        import numpy as np

        if not self.values:
            return np.full(len(probability), math.nan)
        return np.asarray(self.values)[np.searchsorted(np.asarray(self.edges), probability, side="right")]

    def to_json(self) -> dict[str, Any]:
        return {"edges": list(self.edges), "values": list(self.values)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Errors:
        return cls(tuple(table["edges"]), tuple(table["values"]))


def fit_errors(probability: Floats, expected: Floats, changes: Floats, volatilities: Floats, together: float) -> Errors:
    """Errors of out-of-sample rows whose outcome is known: `expected` and `changes` in the unit of `volatilities`.

    In a bin of n rows, of which `together` count as one (those of a horizon): sqrt(sum of squared differences / sum of
    v²) / sqrt(n / together). Unknown below LEAST_ROWS rows.
    """
    import numpy as np

    usable = np.isfinite(expected) & np.isfinite(changes) & (volatilities > 0)
    if int(usable.sum()) < LEAST_ROWS:
        return Errors((), ())
    probability, left = probability[usable], (changes - expected)[usable]
    spread = volatilities[usable]
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, probability, side="right")
    rows = np.bincount(place, minlength=len(edges) + 1)
    squares = np.bincount(place, left**2, len(edges) + 1)
    scale = np.bincount(place, spread**2, len(edges) + 1)
    overall = float((left**2).sum() / (spread**2).sum())
    share = np.where(scale > 0, squares / np.where(scale > 0, scale, 1.0), overall)
    values = np.sqrt(share) / np.sqrt(np.maximum(rows / together, 1.0))
    return Errors(tuple(edges.tolist()), tuple(values.tolist()))
