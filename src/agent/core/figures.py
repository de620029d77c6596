"""Figures as people read them, the same on every page and in the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# Figures a year. Of a shorter span they would say what nobody saw.
_ANNUAL = frozenset({"annualised_return", "annualised_volatility", "sharpe", "sortino", "turnover_per_year"})


def points_text(difference: float) -> str:
    """The difference of two percentages, given as fractions, in percentage points."""
    return f"{100 * difference:+.1f} pp"


def without_annual(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """A strategy's metrics as they are shown: of less than a year (no annualised return) without any figure a year."""
    is_short = metrics.get("annualised_return") is None
    return {name: None if is_short and name in _ANNUAL else value for name, value in metrics.items()}
