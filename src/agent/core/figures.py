"""Sentences of figures as people read them, the same on every page and in the terminal. Pure."""

from __future__ import annotations

from pipelines.figures import number_text, percent_text


def pnl_text(fraction: float) -> str:
    """What was won or lost, a fraction of the start: 0.0123 is "+1.23 %"."""
    return percent_text(fraction, 2, sign=True)


def percents_apart(one: float, other: float) -> tuple[str, str]:
    """Two fractions in per cent, with as many decimals as show which is larger: one to four."""
    for places in range(1, 5):
        found = percent_text(one, places), percent_text(other, places)
        if found[0] != found[1]:
            return found
    return percent_text(one), percent_text(other)


def count_text(number: int, noun: str) -> str:
    """How many there are of something: "1 market", "4,000 markets"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span_text(seconds: float) -> str:
    """A length of time in words, to two figures."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"


def points_text(difference: float) -> str:
    """The difference of two percentages, given as fractions, in percentage points."""
    return f"{number_text(100 * difference, 1, sign=True)} pp"
