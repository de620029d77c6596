"""Figures as people read them."""

from __future__ import annotations

from agent.core.figures import points_text, without_annual


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
