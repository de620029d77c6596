"""Figures as people read them."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from agent.amounts import money_text
from agent.core.figures import count_text, points_text
from agent.core.release_diff import pair_cells, strategy_rows
from pipelines.figures import number_text, percent_text, return_text
from pipelines.modelling.annual import without_annual
from tests.paths import PROJECT


def test_percentages_differ_by_points() -> None:
    assert (points_text(0.021), points_text(-0.5)) == ("+2.1 pp", "-50.0 pp")


def test_what_rounds_to_zero_has_no_sign() -> None:
    found = [percent_text(one, 2, sign=True) for one in (0.00001, -0.00001, 0.0, 0.0001, -0.0001)]
    assert found == ["0.00 %", "0.00 %", "0.00 %", "+0.01 %", "-0.01 %"]
    assert (percent_text(-0.0001), percent_text(0.411)) == ("0.0 %", "41.1 %")
    assert [number_text(one, 2, sign=True) for one in (-0.001, 0.004, 0.006, -1234.5)] == [
        "0.00",
        "0.00",
        "+0.01",
        "-1,234.50",
    ]
    assert (number_text(Decimal("-0.004")), money_text(Decimal("-0.0")), points_text(-0.0001)) == (
        "0.00",
        "0.00",
        "0.0 pp",
    )


@pytest.mark.parametrize(("fraction", "text"), [(0.5, "50.0 %"), (-0.0001, "0.0 %"), (1233.5, "1,234 x")])
def test_a_return_above_a_hundredfold_is_a_multiple(fraction: float, text: str) -> None:
    assert return_text(fraction) == text


_WRITTEN = re.compile(r"""\{[^{}%"']*:[^{}"']*%\}|"%\.\df" \| format\(100""")


def test_per_cent_are_written_by_one_function() -> None:
    """A place that formats them itself would write another form, and a sign before what rounds to zero."""
    files = [
        path for room in ("src", "dashboard") for path in (PROJECT / room).rglob("*") if path.suffix in (".py", ".html")
    ]
    assert len(files) > 300
    found = {
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if _WRITTEN.search(line)
    }
    assert not found


def test_a_small_difference_is_written_without_a_power_of_ten() -> None:
    assert pair_cells("x", -2.786e-05, 0.0, 0.00123456) == ("x", "-0.0000279", "0 to +0.00123")


def test_a_release_s_figures_are_written_as_in_a_comparison() -> None:
    model = {"total_return": 0.07731, "annualised_return": None, "sharpe": 13.0, "trades": 420.0, "costs_paid": 3e-05}
    assert strategy_rows({"model": model, "buy_and_hold": {"total_return": -0.00001}}) == [
        ("total return of the backtest", ["7.7 %", "0.0 %"]),
        ("trades", ["420", "-"]),
        ("costs paid, multiples of the start", ["0.0000", "-"]),
    ]


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


def test_one_of_a_kind_is_singular() -> None:
    assert [count_text(one, "row") for one in (0, 1, 2, 12_154)] == ["0 rows", "1 row", "2 rows", "12,154 rows"]
