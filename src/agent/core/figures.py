"""Figures as people read them, the same on every page and in the terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

_DIGITS = 5  # of a price whose tick is not known
# Figures a year. Of a shorter span they would say what nobody saw.
_ANNUAL = frozenset({"annualised_return", "annualised_volatility", "sharpe", "sortino", "turnover_per_year"})


def price_text(price: float, tick_size: float | None = None) -> str:
    """A price with as many decimals as its tick has, else to five digits, at least two of them decimals."""
    if tick_size:
        places = max(0, -int(Decimal(repr(tick_size)).normalize().as_tuple().exponent))
        return f"{price:,.{places}f}"
    if price == 0 or not math.isfinite(price):
        return f"{price:.2f}"
    places = min(max(2, _DIGITS - 1 - math.floor(math.log10(abs(price)))), 12)
    whole, _, decimals = f"{price:,.{places}f}".partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def points_text(difference: float) -> str:
    """The difference of two percentages, given as fractions, in percentage points."""
    return f"{100 * difference:+.1f} pp"


def without_annual(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """A strategy's metrics as they are shown: of less than a year (no annualised return) without any figure a year."""
    is_short = metrics.get("annualised_return") is None
    return {name: None if is_short and name in _ANNUAL else value for name, value in metrics.items()}
