"""Differences of two models and of two backtests, in pairs: the figure, its blocks, and what is no pair."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.apart import equities_apart, forecasts_apart

START = datetime(2024, 1, 1, tzinfo=UTC)
NO_EVENTS = pl.DataFrame(schema={"market_id": pl.String, "event": pl.String})


def forecasts(probabilities: list[float], labels: list[int | None], **other: pl.Expr) -> pl.DataFrame:
    """A row every 12 hours: two a day, which is a block."""
    count = len(probabilities)
    frame = pl.DataFrame(
        {
            "market_id": ["m"] * count,
            "ts": [START + timedelta(hours=12 * number) for number in range(count)],
            "probability": probabilities,
            "label": pl.Series(labels, dtype=pl.Int8),
            "horizon_bars": pl.Series([1] * count, dtype=pl.Int32),
            "spacing_seconds": pl.Series([3600] * count, dtype=pl.Int64),
        }
    )
    return frame.with_columns(**other)


def curve(equity: list[float]) -> pl.DataFrame:
    times = [START + timedelta(hours=6 * number) for number in range(len(equity))]
    return pl.DataFrame({"ts": times, "equity": equity})


def test_the_better_one_has_the_lower_score() -> None:
    labels: list[int | None] = [1, 0, 1, 0, 1, 0]
    old, new = forecasts([0.5] * 6, labels), forecasts([0.9, 0.1] * 3, labels)
    found = forecasts_apart(old, new, NO_EVENTS)
    assert found["Brier score"].value == pytest.approx(0.01 - 0.25)
    assert (found["Brier score"].blocks, found["log loss"].blocks) == (3, 3)
    assert forecasts_apart(new, old, NO_EVENTS)["Brier score"].value == pytest.approx(0.25 - 0.01)


def test_rows_of_another_outcome_horizon_or_none_are_no_pairs() -> None:
    old = forecasts([0.5, 0.5, 0.5], [1, 0, None])
    assert forecasts_apart(old, forecasts([0.5, 0.7, 0.9], [0, 0, 1]), NO_EVENTS)["Brier score"].value == pytest.approx(
        0.7**2 - 0.5**2
    )
    assert forecasts_apart(old, forecasts([0.5] * 3, [1, 0, None], horizon_bars=pl.lit(2, pl.Int32)), NO_EVENTS) == {}
    assert forecasts_apart(old, old.clear(), NO_EVENTS) == {}


def test_rows_of_one_event_are_one_piece_of_evidence() -> None:
    one = forecasts([0.4] * 8, [1, 0] * 4)
    events = pl.DataFrame({"market_id": ["m"], "event": ["the match"]})
    assert forecasts_apart(one, one, events)["Brier score"].blocks == 1


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=12), st.data())
def test_a_model_is_no_different_from_itself_and_each_score_turns_its_sign(
    old: list[float], data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(old), max_size=len(old)))
    new = data.draw(st.lists(st.floats(0.01, 0.99), min_size=len(old), max_size=len(old)))
    first, second = forecasts(old, [*labels]), forecasts(new, [*labels])
    assert all(one.value == 0 for one in forecasts_apart(first, first, NO_EVENTS).values())
    there, back = forecasts_apart(first, second, NO_EVENTS), forecasts_apart(second, first, NO_EVENTS)
    assert {name: one.value for name, one in there.items()} == pytest.approx(
        {name: -one.value for name, one in back.items()}
    )


def test_curves_are_compared_at_the_times_of_both() -> None:
    old, new = curve([1.0, 1.1, 1.1, 1.21]), curve([1.0, 1.0, 1.1])
    found = equities_apart(old, new)
    assert found is not None
    assert found.value == pytest.approx(((0.0 - 0.1) + (0.1 - 0.0)) / 2)
    assert equities_apart(old, new.head(1)) is None
    assert equities_apart(old, new.clear()) is None
