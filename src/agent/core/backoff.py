"""How long to wait after a failure. Pure: the present instant and the chance (`draw`) are arguments."""

from __future__ import annotations

from datetime import datetime, timedelta

_MOST_DOUBLINGS = 40  # beyond it any cap is reached; keeps the arithmetic finite


def next_retry_at(
    consecutive_failures: int,
    now: datetime,
    *,
    base_seconds: float = 60.0,
    cap_seconds: float = 3600.0,
    jitter_fraction: float = 0.1,
    draw: float,
) -> datetime:
    """When scheduled mode tries a failed component again: base, twice that, … up to the cap, counted from `now`.

    `draw` in 0..1 shortens the wait by up to `jitter_fraction` of it, so that many do not return in one instant.
    """
    seconds = _delay_seconds(consecutive_failures, base_seconds, cap_seconds, jitter_fraction, draw)
    return now + timedelta(seconds=seconds)


def attempt_delay_seconds(
    number: int,
    draw: float,
    *,
    base_seconds: float = 1.0,
    cap_seconds: float = 30.0,
    jitter_fraction: float = 0.1,
) -> float:
    """Seconds between attempt `number` (1, 2, …) of a component, failed by a transient error, and the next in a run."""
    return _delay_seconds(number, base_seconds, cap_seconds, jitter_fraction, draw)


def _delay_seconds(count: int, base: float, cap: float, jitter_fraction: float, draw: float) -> float:
    """min(cap, base · 2^(count − 1)) · (1 − jitter_fraction · draw)"""
    doublings = min(max(count - 1, 0), _MOST_DOUBLINGS)
    return min(cap, base * 2.0**doublings) * (1.0 - jitter_fraction * draw)
