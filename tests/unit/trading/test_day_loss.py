"""What an account lost since midnight: exactly at the limit, whatever was paid in or out."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.trading.measures.day import day_loss, midnight_after, midnight_before, opening_after

D = Decimal


@pytest.mark.parametrize(
    ("opening", "equity", "lost"),
    [("10000", "9800", "0.02"), ("10000", "9800.01", None), ("10000", "10500", None), ("0", "0", None)],
)
def test_it_is_reached_exactly_at_the_limit(opening: str, equity: str, lost: str | None) -> None:
    assert day_loss(D(opening), D(equity), D("0.02")) == (None if lost is None else D(lost))


@given(
    equity=st.decimals(1_000, 100_000, places=2),
    flow=st.decimals(-900, 100_000, places=2),
    change=st.floats(-0.2, 0.2),
)
def test_a_flow_changes_no_fraction(equity: Decimal, flow: Decimal, change: float) -> None:
    opening = D(10_000)
    after = opening_after(opening, [(equity, flow)])
    assert abs((equity + flow) / after - equity / opening) < D("1e-12") * (1 + equity / opening)


def test_a_day_is_one_of_utc() -> None:
    late = datetime(2026, 1, 30, 23, 59, 59, tzinfo=UTC)
    assert (midnight_before(late), midnight_after(late)) == (
        datetime(2026, 1, 30, tzinfo=UTC),
        datetime(2026, 1, 31, tzinfo=UTC),
    )
