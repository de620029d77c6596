"""Prices and accounts say what they are counted in."""

from __future__ import annotations

import math

import pytest

from pipelines.data.quoting import account_text, price_text, rounded_price


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
        (100.26, 0.25, "100.25"),  # to the tick, not only to its digits
        (100.13, 0.05, "100.15"),
        (4_512.0, 25.0, "4,500"),
        (math.nan, 0.01, "nan"),
        (-0.004, 0.01, "0.00"),
        (-1e-14, None, "0.00"),
    ],
)
def test_a_price_has_the_digits_of_its_tick(price: float, tick: float | None, text: str) -> None:
    assert price_text(price, tick) == text
    # A number in a table is the one that the text says.
    assert rounded_price(price, tick) == pytest.approx(float(text.replace(",", "")), rel=0, abs=0, nan_ok=True)


def test_a_price_names_its_currency_where_that_is_known() -> None:
    assert price_text(1234.5, 0.01, "USD") == "1,234.50 USD"
    assert price_text(0.00001234, 1e-8, "BTC") == "0.00001234 BTC"
    assert price_text(0.5, 0.01, None) == "0.50"


def test_an_account_in_one_currency_says_it() -> None:
    text = account_text(["USD"] * 5)
    assert text == "All markets are quoted in USD: equity, P&L and costs are multiples of the start in USD."


def test_amounts_in_several_currencies_are_said_to_have_no_sum() -> None:
    text = account_text(["BTC", "USD", "BTC", None])
    assert "Mixed currencies: quoted are 2 markets in BTC, 1 market in USD, 1 market in a currency that is not" in text
    assert "an amount in none of these" in text
    assert account_text(["USD", None]).startswith("Mixed currencies")  # who knows what the other one is in?


@pytest.mark.parametrize("markets", [[], [None, None]])
def test_currencies_that_nobody_knows_are_not_guessed(markets: list[str | None]) -> None:
    assert account_text(markets).startswith("The quote currency of the markets is not known")
