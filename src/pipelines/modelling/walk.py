"""Walk forward: predict each fold by a model that was fitted on what was known before it. Pure but for the fits.

A fold's model knows only what was known when its test span begins: training rows whose label window (plus embargo)
reaches past that instant are dropped (Lopez de Prado 2018, Advances in Financial Machine Learning, ch. 7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.modelling.baselines import NAMES, fit_baselines
from pipelines.modelling.folds import Fold
from pipelines.modelling.learner import Calibration, Recipe, fit, fit_shrunk_slope, fit_slope, predict_raw
from pipelines.modelling.moves import Errors, Moves, fit_errors, fit_moves
from pipelines.modelling.rows import UNKNOWN, Rows
from pipelines.parallel import MOST_WORKERS, as_done, cores
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

MIN_TRAIN_ROWS = 200
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OutOfFold:
    """What the folds predicted, in time order. row: index into Rows. up, down: Moves of the fold's training rows;
    expected: change of the price by them, before a payoff bounds it; error: its standard error in units of v."""

    row: Integers
    raw: Floats
    probability: Floats
    base_rate: Floats
    up: Floats
    down: Floats
    expected: Floats
    error: Floats
    baselines: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class FoldForecast:
    """The forecasts of one fold, and how many rows its model was fitted on."""

    fold: Fold
    train_rows: int
    rows: OutOfFold


Raw = tuple["Floats", Mapping[str, "Floats"]]
Carried = Callable[[Fold, "Integers", "Integers"], "Raw | None"]


@dataclass
class Walk:
    """One walk over folds. carried: raw forecasts and baselines of a fold that an earlier walk left, or None. on_fold:
    hears of each fold that was fitted, with the number of those done before."""

    recipe: Recipe
    horizon_bars: int
    max_train_bars: int | None = None
    carried: Carried = field(default=lambda fold, train, test: None)
    on_fold: Callable[[int, Fold], None] = field(default=lambda number, fold: None)

    def forward(self, rows: Rows, folds: Sequence[Fold]) -> list[FoldForecast]:
        """Forecasts of every fold that has enough to train on and a row to test."""
        import numpy as np

        parts: list[tuple[Fold, Integers, Integers]] = []
        for fold in folds:
            start = microseconds(fold.test_start)
            low, high = np.searchsorted(rows.ts, [start, microseconds(fold.test_end)])
            train, test = training_rows(rows, start, self.max_train_bars), np.arange(low, high)
            if len(test) and is_enough(rows.label[train]):
                parts.append((fold, train, test))
        raws = self._raw_forecasts(rows, parts)
        # Calibration rests on the folds before, so it goes one by one.
        found: list[FoldForecast] = []
        sample = empty()
        for fold, train, test in parts:
            one = self._calibrated(rows, sample, microseconds(fold.test_start), train, test, *raws[fold])
            sample = joined([sample, one])
            found.append(FoldForecast(fold, len(train), one))
        return found

    def _raw_forecasts(self, rows: Rows, parts: Sequence[tuple[Fold, Integers, Integers]]) -> dict[Fold, Raw]:
        """What each fold's own model says, not calibrated: those that an earlier walk left, and the others fitted side
        by side, the largest first, so that no core waits long for the last one."""
        left = {fold: self.carried(fold, train, test) for fold, train, test in parts}
        raws = {fold: raw for fold, raw in left.items() if raw is not None}
        to_fit = [part for part in reversed(parts) if part[0] not in raws]
        workers = min(cores(), MOST_WORKERS, len(to_fit))
        threads = max(1, cores() // max(1, workers))
        fitted = as_done(lambda part: self._fit(rows, part[1], part[2], threads), to_fit, workers)
        for (fold, _, _), raw in zip(to_fit, fitted, strict=True):
            self.on_fold(len(raws), fold)
            raws[fold] = raw
        return raws

    def _fit(self, rows: Rows, train: Integers, test: Integers, threads: int) -> Raw:
        estimator = fit(self.recipe, rows.matrix[train], rows.label[train], threads)
        return predict_raw(estimator, rows.matrix[test]), fit_baselines(rows, train, test, self.recipe.seed)

    def _calibrated(
        self,
        rows: Rows,
        before: OutOfFold,
        start: int,
        train: Integers,
        test: Integers,
        raw: Floats,
        baselines: Mapping[str, Floats],
    ) -> OutOfFold:
        import numpy as np

        known = rows.known_at[before.row] <= start
        rate = float(rows.label[train].mean())
        anchor = rows.price[test] if rows.to_resolution else None
        probability = Calibration(slope_of(rows, before, known), rate).apply(raw, anchor)
        up, down = moves_of(rows, train).of(rows.kind[test])
        by_moves = rows.volatility[test] * (probability * up + (1 - probability) * down)
        return OutOfFold(
            row=test,
            raw=raw,
            probability=probability,
            base_rate=np.full(len(test), rate),
            up=up,
            down=down,
            expected=probability - rows.price[test] if rows.to_resolution else by_moves,
            error=errors_of(rows, before, known, self.horizon_bars).at(probability),
            baselines=baselines,
        )


def empty() -> OutOfFold:
    """No rows."""
    import numpy as np

    nothing = np.empty(0)
    columns = {one.name: nothing for one in fields(OutOfFold) if one.name not in ("row", "baselines")}
    return OutOfFold(np.empty(0, dtype=np.int64), **columns, baselines=dict.fromkeys(NAMES, nothing))


def joined(parts: Sequence[OutOfFold]) -> OutOfFold:
    """All rows of `parts`, one after the other."""
    import numpy as np

    if not parts:
        return empty()

    def whole(name: str) -> Any:
        return np.concatenate([getattr(one, name) for one in parts])

    return OutOfFold(
        row=whole("row"),
        raw=whole("raw"),
        probability=whole("probability"),
        base_rate=whole("base_rate"),
        up=whole("up"),
        down=whole("down"),
        expected=whole("expected"),
        error=whole("error"),
        baselines={name: np.concatenate([one.baselines[name] for one in parts]) for name in NAMES},
    )


def training_rows(rows: Rows, before: int, max_bars: int | None) -> Integers:
    """Indices of labelled rows whose label, embargo added, was known at `before`, the newest `max_bars` bar times."""
    import numpy as np

    usable = (rows.label != UNKNOWN) & (rows.known_at <= before)
    if max_bars is not None:
        times = np.unique(rows.ts[usable])
        if len(times) > max_bars:
            usable &= rows.ts >= times[-max_bars]
    return np.flatnonzero(usable)


def is_enough(labels: npt.NDArray[np.int8]) -> bool:
    """Whether a model can be fitted on rows with these labels."""
    return len(labels) >= MIN_TRAIN_ROWS and int(labels.min()) != int(labels.max())


def slope_of(rows: Rows, sample: OutOfFold, known: npt.NDArray[np.bool_]) -> float:
    """How far raw forecasts may be trusted, by those rows of `sample` that are `known`."""
    at = sample.row[known]
    if rows.to_resolution:
        return fit_shrunk_slope(sample.raw[known], rows.price[at], rows.label[at], rows.event[at])
    return fit_slope(sample.raw[known], sample.base_rate[known], rows.label[at])


def moves_of(rows: Rows, train: Integers) -> Moves:
    """How far the prices of the training rows moved, by kind of market."""
    return fit_moves(rows.kind[train], rows.label[train], rows.change[train], rows.volatility[train])


def errors_of(rows: Rows, sample: OutOfFold, known: npt.NDArray[np.bool_], horizon_bars: int) -> Errors:
    """How far expected changes were off in those rows of `sample` that are `known`: in units of v, of outcomes in units
    of the payoff, where all rows of an event count as one."""
    import numpy as np

    at = sample.row[known]
    unit, together = rows.volatility[at], float(horizon_bars)
    if rows.to_resolution:
        unit, together = np.ones(len(at)), len(at) / max(1, len(np.unique(rows.event[at].astype(str))))
    return fit_errors(sample.probability[known], sample.expected[known], rows.change[at], unit, together)


def instant(moment: int) -> datetime:
    """The instant of so many microseconds since 1970."""
    return _EPOCH + int(moment) * _MICROSECOND


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND
