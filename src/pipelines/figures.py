"""Figures as people read them, the same in every text, on every page and in the terminal: what rounds to zero has no
sign, and per cent stand apart from their number. Pure."""

from __future__ import annotations

from decimal import Decimal

_MULTIPLES_FROM = 100  # a return above a hundredfold says more as a multiple


def number_text(value: float | Decimal, places: int = 2, *, sign: bool = False) -> str:
    """A number with its decimals: 1234.5 is "1,234.50" with two; `sign`: with its plus."""
    text = f"{value:z,.{places}f}"
    is_above_zero = value > 0 and text.strip("0.") != ""
    return f"+{text}" if sign and is_above_zero else text


def percent_text(fraction: float | Decimal, places: int = 1, *, sign: bool = False) -> str:
    """A fraction in per cent: 0.411 is "41.1 %" with one place; `sign`: with its plus."""
    return f"{number_text(100 * fraction, places, sign=sign)} %"


def return_text(fraction: float) -> str:
    """A return, as a fraction, in per cent; as a multiple of the start where it is above a hundredfold."""
    return percent_text(fraction) if abs(fraction) < _MULTIPLES_FROM else f"{number_text(fraction + 1, 0)} x"
