"""Walk-forward folds on a fixed calendar: which stretch of time is predicted by a model trained before it. Pure.

Test spans start at multiples of their length since 1970, so appended data adds folds and moves none. (When the history
has doubled, the next longer span of the ladder is taken, and all folds are new.)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.values import dataclass

LADDER: dict[str, timedelta] = {
    **{f"{hours}h": timedelta(hours=hours) for hours in (1, 2, 4, 8, 12)},
    **{f"{days}d": timedelta(days=days) for days in (1, 2, 4, 7, 14, 30, 60, 90, 180, 365, 730)},
}
SPANS_OF_DATA = 8  # the test span is at most this part of the history
SPANS_BEFORE_TEST = 3  # the first fold is predicted after at least so many test spans of training data
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fold:
    """A stretch of time [test_start, test_end) that is predicted by a model trained on what was known before it."""

    test_start: datetime
    test_end: datetime

    @property
    def key(self) -> str:
        return f"oof/{self.test_start:%Y%m%dT%H%M}"


def fold_start(key: str) -> datetime:
    """The test start that a fold's partition key says."""
    return datetime.strptime(key, "oof/%Y%m%dT%H%M").replace(tzinfo=UTC)


def choose_span(first: datetime, last: datetime) -> timedelta | None:
    """Longest span of the ladder that fits SPANS_OF_DATA times into the history; None where not even one hour does."""
    fitting = [span for span in LADDER.values() if span * SPANS_OF_DATA <= last - first]
    return max(fitting, default=None)


def plan_folds(first: datetime, last: datetime, span: timedelta) -> tuple[Fold, ...]:
    """All folds of length `span` over bars known from `first` to `last`; the newest may not be over yet."""
    earliest = first + SPANS_BEFORE_TEST * span
    number = -((_EPOCH - earliest) // span)
    folds = []
    while (start := _EPOCH + number * span) <= last:
        folds.append(Fold(start, start + span))
        number += 1
    return tuple(folds)
