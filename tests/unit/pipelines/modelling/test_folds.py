"""The calendar of walk-forward folds."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import get_args, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from pipelines.components.model import Settings
from pipelines.modelling.folds import LADDER, SPANS_BEFORE_TEST, choose_span, fold_start, plan_folds

FIRST = datetime(2000, 3, 1, tzinfo=UTC)
spans = st.sampled_from(list(LADDER.values()))


def test_the_setting_offers_the_ladder() -> None:
    assert get_args(get_type_hints(Settings)["test_span"]) == ("auto", *LADDER)


def test_the_span_is_the_longest_that_fits_eight_times() -> None:
    assert choose_span(FIRST, FIRST + timedelta(days=20)) == timedelta(days=2)
    assert choose_span(FIRST, FIRST + timedelta(days=32)) == timedelta(days=4)
    assert choose_span(FIRST, FIRST + timedelta(days=13 * 365)) == timedelta(days=365)
    assert choose_span(FIRST, FIRST + timedelta(hours=7)) is None


@given(spans, st.integers(0, 500), st.integers(0, 100))
def test_appended_data_adds_folds_and_moves_none(span: timedelta, offset: int, more: int) -> None:
    first = FIRST + timedelta(hours=offset)
    last = first + 8 * span
    short = plan_folds(first, last, span)
    longer = plan_folds(first, last + more * span / 7, span)
    assert longer[: len(short)] == short
    assert all(fold.test_start >= first + SPANS_BEFORE_TEST * span for fold in short)
    assert short[0].test_start - span < first + SPANS_BEFORE_TEST * span
    assert short[-1].test_start <= last < short[-1].test_end
    assert all(one.test_end == following.test_start for one, following in itertools.pairwise(short))


def test_a_key_says_when_its_fold_starts() -> None:
    fold = plan_folds(FIRST, FIRST + timedelta(days=1), timedelta(hours=2))[0]
    assert fold_start(fold.key) == fold.test_start
