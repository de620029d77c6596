"""Waiting after failures, as a table of numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.backoff import attempt_delay_seconds, next_retry_at

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "draw", "seconds"),
    [(1, 0.0, 60), (2, 0.0, 120), (3, 0.0, 240), (6, 0.0, 1920), (7, 0.0, 3600), (99999, 0.0, 3600), (1, 1.0, 54)],
)
def test_doubles_up_to_the_cap(failures: int, draw: float, seconds: float) -> None:
    assert (next_retry_at(failures, NOW, draw=draw) - NOW).total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(("number", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 30), (400, 30)])
def test_attempts_in_a_run_follow_sooner(number: int, seconds: float) -> None:
    assert attempt_delay_seconds(number, 0.0) == pytest.approx(seconds)


@given(st.integers(1, 2000), st.floats(0, 1))
def test_never_beyond_the_cap_nor_below_nine_tenths_of_the_plain_wait(number: int, draw: float) -> None:
    plain = attempt_delay_seconds(number, 0.0)
    assert 0.9 * plain - 1e-9 <= attempt_delay_seconds(number, draw) <= plain <= 30.0
