"""Which figures of a backtest are shown: none a year where there was less than a year to see. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# Figures a year. Of a shorter span they would say what nobody saw.
_ANNUAL = frozenset({"annualised_return", "annualised_volatility", "sharpe", "sortino", "turnover_per_year"})
FROM_A_YEAR = "Figures a year are shown from one year on."


def is_short(metrics: Mapping[str, float | None]) -> bool:
    """Whether a strategy's metrics are of less than a year: its return is not annualised then."""
    return metrics.get("annualised_return") is None


def without_annual(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """A strategy's metrics as they are shown: of less than a year without any figure a year."""
    hides = is_short(metrics)
    return {name: None if hides and name in _ANNUAL else value for name, value in metrics.items()}
