"""How long a bar is: a number of seconds, or a day, week or month of a zone's own clock. Pure.

An interval is written as the column `interval` of markets shows it: "300s", "day", "week" or "month". A day on which
the clocks change has 23 or 25 hours and is one bar.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

CALENDARS = ("day", "week", "month")
# The longest that one can be: 31 days at most, and an hour where the clocks are set back.
_LONGEST_SECONDS = {"day": 90_000, "week": 608_400, "month": 2_682_000}
_OFFSETS = {"day": "d", "week": "w", "month": "mo"}
_TRUNCATED = {"day": "1d", "week": "1w", "month": "1mo"}
_MICROSECOND = timedelta(microseconds=1)


def seconds_of(interval: str) -> int | None:
    """The seconds of "300s"; None for a calendar's. Raises ValueError for any other text."""
    if interval in CALENDARS:
        return None
    if not interval.endswith("s") or not interval[:-1].isdigit() or int(interval[:-1]) < 1:
        raise ValueError(f"{interval!r} is no interval: give seconds, such as 300s, or one of {', '.join(CALENDARS)}")
    return int(interval[:-1])


def longest_seconds(interval: str) -> int:
    """The seconds of an interval, at most."""
    return seconds_of(interval) or _LONGEST_SECONDS[interval]


def later(instants: pl.Series, interval: str, timezone: str, count: int = 1) -> pl.Series:
    """`instants` (UTC) moved by `count` intervals, back where it is negative.

    A calendar's is counted on the clock of `timezone`, whatever the time of day. From the last day of a month one comes
    to the last day of the other month.
    """
    import polars as pl

    seconds = seconds_of(interval)
    if seconds is not None:
        return instants + timedelta(seconds=seconds * count)
    clock = instants.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    midnight = clock.dt.truncate("1d")
    # A day without a midnight begins with its first instant; the day after has a midnight again.
    clock = midnight.zip_with(from_clock(midnight, timezone) == instants, clock)
    moved = clock.dt.offset_by(f"{count}{_OFFSETS[interval]}")
    if interval == "month":
        is_last = clock.dt.date() == clock.dt.month_end().dt.date()
        moved = moved.dt.month_end().zip_with(is_last, moved)
    return from_clock(moved, timezone).cast(pl.Datetime("us", "UTC"))


def period_start(instants: pl.Series, interval: str, timezone: str) -> pl.Series:
    """When the day, week (from Monday) or month that holds each of `instants` (UTC) began in `timezone`."""
    clock = instants.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    return from_clock(clock.dt.truncate(_TRUNCATED[interval]), timezone)


def next_at(instants: pl.Series, time_of_day: str, timezone: str) -> pl.Series:
    """The first instant after each of `instants` (UTC) at which clocks in `timezone` show `time_of_day` ("16:30")."""
    hours, minutes = (int(part) for part in time_of_day.split(":"))
    clock = instants.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    same_day = clock.dt.truncate("1d") + timedelta(hours=hours, minutes=minutes)
    return from_clock((same_day + timedelta(days=1)).zip_with(same_day <= clock, same_day), timezone)


def from_clock(clock: pl.Series, timezone: str) -> pl.Series:
    """What clocks in `timezone` show, as UTC: the first of two where an hour comes twice, and the instant at which the
    clocks are set where they never show it, so that a day without a midnight begins with its first instant."""
    import polars as pl

    utc = clock.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    skipped = clock.filter(utc.is_null() & clock.is_not_null()).unique()
    if skipped.is_empty():
        return utc
    found = [_after_gap(value, timezone) for value in skipped]
    filled = clock.replace_strict(skipped, pl.Series(found, dtype=utc.dtype), default=None, return_dtype=utc.dtype)
    return utc.zip_with(utc.is_not_null(), filled)


def _after_gap(shown: datetime, timezone: str) -> datetime:
    """The instant at which the clocks of `timezone` jump past `shown`."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(timezone)
    # Read by the offset before the jump: an instant after it, by as much as `shown` lies inside the gap.
    high = shown.replace(tzinfo=zone).astimezone(UTC)
    low = high - timedelta(days=2)
    while high - low > _MICROSECOND:
        middle = low + (high - low) // 2
        if middle.astimezone(zone).replace(tzinfo=None) >= shown:
            high = middle
        else:
            low = middle
    return high
