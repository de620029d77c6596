"""Amounts: at most 18 places, half to even, no zeros at the end, and never a float."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.amounts import exact, figure_text, less, money_text, of_float, parsed, plain, ratio, share, times, total

HALF = Decimal("0.0000000000000000005")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10.00", "10"),
        ("1E+2", "100"),
        ("1E-18", "0.000000000000000001"),
        ("-0.000", "0"),
        ("100", "100"),
        ("  12.50 ", "12.5"),
        ("0.0000000000000000005", "0"),
        ("0.0000000000000000015", "0.000000000000000002"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ],
)
def test_an_amount_has_one_way_to_be_written(written: str, said: str) -> None:
    assert str(plain(parsed(written))) == said


@pytest.mark.parametrize(
    "written", ["NaN", "Infinity", "-Infinity", "1E20", "99999999999999999999.9999999999999999995"]
)
def test_what_the_databases_cannot_hold_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"no amount|more than 20 digits"):
        exact(Decimal(written))


def test_words_and_floats_are_no_amounts() -> None:
    with pytest.raises(ValueError, match="'ten' is no amount"):
        parsed("ten")
    for value in (0.1, True, "1"):
        with pytest.raises(TypeError, match="is no Decimal"):
            exact(value)  # type: ignore[arg-type]  # that is the test


amounts = st.decimals(
    min_value=Decimal(-(10**19)), max_value=Decimal(10**19), allow_nan=False, allow_infinity=False, places=20
)


@given(amounts)
def test_rounding_is_small_and_done_once(value: Decimal) -> None:
    once = exact(value)
    assert exact(once) == once
    assert parsed(plain(once)) == once
    assert abs(once - value) <= HALF
    assert "E" not in plain(value)


def test_an_estimate_becomes_an_amount_by_twelve_digits() -> None:
    assert of_float(0.04999999999999999) == Decimal("0.05")
    assert of_float(1e-7) == Decimal("0.0000001")
    with pytest.raises(ValueError, match="no amount"):
        of_float(float("nan"))


@given(amounts, amounts)
def test_sums_are_exact_and_shares_are_rounded_once(one: Decimal, two: Decimal) -> None:
    first, second = exact(one), exact(two)
    assert less(total((first, second)), second) == first
    assert times(first, Decimal(1)) == first
    if second:
        assert share(first, second, second) == first
        assert ratio(second, second) == 1


@pytest.mark.parametrize(
    ("value", "money", "figure"),
    [
        ("9852.730985985469386472", "9,852.73", "9852.731"),
        ("10000", "10,000.00", "10000"),
        ("0", "0.00", "0"),
        ("-0.004", "-0.004", "-0.004"),
        ("0.000012345678912", "0.000012", "0.000012345679"),
        ("1234567890.129", "1,234,567,890.13", "1234567890.13"),
        ("-1234.5", "-1,234.50", "-1234.5"),
    ],
)
def test_people_read_fewer_digits(value: str, money: str, figure: str) -> None:
    assert money_text(Decimal(value)) == money
    assert figure_text(Decimal(value)) == figure
