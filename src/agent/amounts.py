"""Amounts of money, prices and quantities as both databases can hold them: decimals of at most 18 places. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from pipelines.figures import number_text

PLACES = 18
DIGITS = 38  # NUMERIC(38,18): twenty digits before the point
_CENT = Decimal("0.01")
_STEP = Decimal(1).scaleb(-PLACES)
_LIMIT = Decimal(10) ** (DIGITS - PLACES)
# Products of two amounts have up to 76 digits: they are rounded once, when they are stored, never before.
EXACT = Context(prec=2 * DIGITS + 4, rounding=ROUND_HALF_EVEN)


def exact(value: Decimal | int) -> Decimal:
    """`value` with at most 18 places (half to even) and without trailing zeros, so that equal amounts look equal.

    Raises TypeError for a float, whose digits nobody meant; ValueError for what is no number, or has more than twenty
    digits before the point.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError(f"{value!r} is no Decimal: what was estimated in floats goes through `of_float`")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{value} is no amount")
    if number.copy_abs() >= _LIMIT:
        raise ValueError(f"{value} has more than {DIGITS - PLACES} digits before the point")
    rounded = number.quantize(_STEP, context=EXACT)
    if rounded.copy_abs() >= _LIMIT:
        raise ValueError(f"{value} has more than {DIGITS - PLACES} digits before the point")
    if not rounded:
        return Decimal(0)  # and not -0
    return Decimal(_without_zeros(format(rounded, "f")))


def of_float(value: float) -> Decimal:
    """An amount from what was estimated in floats, by twelve digits: the one way from the one to the other."""
    return exact(Decimal(f"{value:.12g}"))


def plain(value: Decimal) -> str:
    """`value` in plain notation: 0.00000001 and never 1E-8. What is stored on SQLite and stands in JSON."""
    return format(exact(value), "f")


def money_text(value: Decimal) -> str:
    """Money as people read it: 9,852.73; less than a cent by two digits, so that something is never 0.00."""
    if value and value.copy_abs() < _CENT:
        return figure_text(value, digits=2)
    return number_text(value)


def figure_text(value: Decimal, digits: int = 8) -> str:
    """A price or quantity as people read it: by eight digits, two places where those are not enough, in plain notation
    without trailing zeros."""
    places = max(2, digits - 1 - value.adjusted()) if value else 2
    return _without_zeros(f"{value:z.{places}f}")


def parsed(text: str) -> Decimal:
    """The amount that `text` says. Raises ValueError where it says none."""
    try:
        return exact(Decimal(text.strip()))
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount") from None


def times(first: Decimal, second: Decimal) -> Decimal:
    """The product, rounded once."""
    return exact(EXACT.multiply(first, second))


def ratio(first: Decimal, second: Decimal) -> Decimal:
    """The quotient, rounded once. Raises ZeroDivisionError where `second` is 0."""
    return exact(EXACT.divide(first, second))


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """amount x part / whole, rounded once."""
    return exact(EXACT.divide(EXACT.multiply(amount, part), whole))


def less(amount: Decimal, *others: Decimal) -> Decimal:
    """`amount` without the others, of which no digit is lost."""
    return total((amount, *(other.copy_negate() for other in others)))


def total(values: Iterable[Decimal]) -> Decimal:
    """The sum, of which no digit is lost (Python's own sums, and its minus sign, keep 28 digits)."""
    result = Decimal(0)
    for value in values:
        result = EXACT.add(result, value)
    return result


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
