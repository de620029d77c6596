"""Figures as people read them, the same on every page and in the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# Figures a year. Of a shorter span they would say what nobody saw.
_ANNUAL = frozenset({"annualised_return", "annualised_volatility", "sharpe", "sortino", "turnover_per_year"})


def percent_text(fraction: float, places: int = 1, *, sign: bool = False) -> str:
    """A fraction in per cent: 0.411 is "41.1 %" with one place; `sign`: with its plus."""
    return f"{100 * fraction:{'+' if sign else ''}.{places}f} %"


def percents_apart(one: float, other: float) -> tuple[str, str]:
    """Two fractions in per cent, with as many decimals as show which is larger: one to four."""
    for places in range(1, 5):
        found = percent_text(one, places), percent_text(other, places)
        if found[0] != found[1]:
            return found
    return percent_text(one), percent_text(other)


def span_text(seconds: float) -> str:
    """A length of time in words, to two figures."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"


def points_text(difference: float) -> str:
    """The difference of two percentages, given as fractions, in percentage points."""
    return f"{100 * difference:+.1f} pp"


def without_annual(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """A strategy's metrics as they are shown: of less than a year (no annualised return) without any figure a year."""
    is_short = metrics.get("annualised_return") is None
    return {name: None if is_short and name in _ANNUAL else value for name, value in metrics.items()}
