"""Intervals on a zone's own clock, against Python's zoneinfo."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.calendars import from_clock, later, longest_seconds, next_at, period_start, seconds_of
from tests.examples import examples

ZONES = sorted(available_timezones() - {"Factory", "localtime"})


def first_instant(day: date, zone: str) -> datetime:
    """The first instant whose date in `zone` is `day` or later, by trying: quarters of an hour, then seconds."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=30)
    for step in (timedelta(minutes=15), timedelta(seconds=1)):
        while at.astimezone(ZoneInfo(zone)).date() < day:
            at += step
        at -= step
    return at + timedelta(seconds=1)


def midnight(day: date) -> datetime:
    """What a clock shows as `day` begins."""
    return datetime.combine(day, datetime.min.time())


def instants(*values: datetime) -> pl.Series:
    return pl.Series(values, dtype=pl.Datetime("us", "UTC"))


@settings(max_examples=examples(60), deadline=None)
@given(zone=st.sampled_from(ZONES), day=st.dates(date(1971, 1, 1), date(2036, 12, 1)), count=st.integers(-40, 40))
def test_a_day_ends_where_the_next_one_begins(zone: str, day: date, count: int) -> None:
    start, end = first_instant(day, zone), first_instant(day + timedelta(days=count), zone)
    if start.astimezone(ZoneInfo(zone)).date() != day:
        return  # a day that is skipped
    assert later(instants(start), "day", zone, count).item() == end


@settings(max_examples=examples(60), deadline=None)
@given(zone=st.sampled_from(ZONES), day=st.dates(date(1971, 1, 1), date(2036, 12, 1)))
def test_midnight_is_the_first_instant_of_the_day(zone: str, day: date) -> None:
    shown = pl.Series([midnight(day)], dtype=pl.Datetime("us"))
    assert from_clock(shown, zone).item() == first_instant(day, zone)


@pytest.mark.parametrize(
    ("start", "zone", "interval", "hours"),
    [
        ("2024-03-10T05:00", "America/New_York", "day", 23),
        ("2024-11-03T04:00", "America/New_York", "day", 25),
        ("2024-03-09T22:00", "America/New_York", "day", 23),  # 17:00, the day of currencies
        ("2024-03-09T22:00", "UTC", "day", 24),
        ("2011-12-29T10:00", "Pacific/Apia", "day", 24),  # the day after does not exist
        ("2024-04-25T22:00", "Africa/Cairo", "day", 23),  # this day has no midnight
        ("2024-03-04T05:00", "America/New_York", "week", 167),
        ("2024-01-31T23:00", "UTC", "month", 29 * 24),
        ("2024-02-29T23:00", "UTC", "month", 31 * 24),
        ("2024-03-01T05:00", "America/New_York", "month", 31 * 24 - 1),
    ],
)
def test_length_of_one_bar(start: str, zone: str, interval: str, hours: int) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert later(instants(begin), interval, zone).item() - begin == timedelta(hours=hours)
    assert timedelta(hours=hours).total_seconds() <= longest_seconds(interval)


def test_seconds_are_seconds_in_every_zone() -> None:
    begin = datetime(2024, 3, 10, 5, tzinfo=UTC)
    assert later(instants(begin), "86400s", "America/New_York", 2).item() == begin + timedelta(days=2)
    assert seconds_of("300s") == 300
    assert seconds_of("month") is None
    for text in ("300", "0s", "-5s", "hour", "s"):
        with pytest.raises(ValueError, match="no interval"):
            seconds_of(text)


def test_the_period_that_holds_an_instant() -> None:
    at = instants(datetime(2024, 2, 2, 3, tzinfo=UTC))  # 1 February, 22:00, a Thursday, in New York
    shown = {name: period_start(at, name, "America/New_York").item() for name in ("day", "week", "month")}
    assert shown == {
        "day": datetime(2024, 2, 1, 5, tzinfo=UTC),
        "week": datetime(2024, 1, 29, 5, tzinfo=UTC),
        "month": datetime(2024, 2, 1, 5, tzinfo=UTC),
    }


def test_the_next_time_of_day() -> None:
    zone = "America/New_York"
    midnight, evening = datetime(2024, 2, 1, 5, tzinfo=UTC), datetime(2024, 2, 1, 22, tzinfo=UTC)
    found = next_at(instants(midnight, evening), "16:30", zone)
    assert found.to_list() == [
        datetime(2024, 2, 1, 21, 30, tzinfo=UTC),
        datetime(2024, 2, 2, 21, 30, tzinfo=UTC),
    ]
