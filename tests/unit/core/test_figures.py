"""Figures as people read them."""

from __future__ import annotations

import pytest

from agent.core.figures import points_text, price_text, without_annual


@pytest.mark.parametrize(
    ("price", "tick", "text"),
    [
        (0.5, 0.01, "0.50"),
        (0.985, 0.001, "0.985"),
        (27_341.12, 0.01, "27,341.12"),
        (27_341.0, 0.5, "27,341.0"),
        (4_500.0, 25.0, "4,500"),
        (1.3045, 0.00001, "1.30450"),
        (0.00001234, 1e-8, "0.00001234"),
        (27_341.125, None, "27,341.12"),
        (1.30451, None, "1.3045"),
        (1.3, None, "1.30"),
        (0.000012345, None, "0.000012345"),
        (0.0, None, "0.00"),
        (-37.63, None, "-37.63"),
    ],
)
def test_a_price_has_the_digits_of_its_tick(price: float, tick: float | None, text: str) -> None:
    assert price_text(price, tick) == text


def test_percentages_differ_by_points() -> None:
    assert (points_text(0.021), points_text(-0.5)) == ("+2.1 pp", "-50.0 pp")


def test_no_figure_a_year_of_less_than_one() -> None:
    short = {
        "sharpe": 3.0,
        "sortino": 4.0,
        "annualised_return": None,
        "annualised_volatility": 0.2,
        "total_return": 0.1,
    }
    assert {name for name, value in without_annual(short).items() if value is not None} == {"total_return"}
    assert without_annual({**short, "annualised_return": 0.1})["sharpe"] == 3.0
