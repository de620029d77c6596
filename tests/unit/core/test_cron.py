"""Cron: what is accepted, and what daylight saving does to it."""

# ruff: noqa: DTZ001 (wall times, which have no zone yet)
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.cron import next_after, read

PARIS, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Paris"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")


@pytest.mark.parametrize(
    ("field", "days"),
    [
        *(("sun-thu", {0, 1, 2, 3, 4}), ("fri-mon", {5, 6, 0, 1}), ("5-1", {5, 6, 0, 1}), ("0-7", set(range(7)))),
        *(
            ("7", {0}),
            ("0", {0}),
            ("sun", {0}),
            ("5-7", {5, 6, 0}),
            ("7-2", {0, 1, 2}),
            ("SUN,Tue", {0, 2}),
            ("sat-sun", {6, 0}),
        ),
        *(("*", set(range(7))), ("*/2", {0, 2, 4, 6}), ("1/2", {1, 3, 5}), ("mon-fri/2", {1, 3, 5}), ("mon-mon", {1})),
    ],
)
def test_weekdays(field: str, days: set[int]) -> None:
    assert read(f"0 0 * * {field}").weekdays == days


def test_other_fields() -> None:
    cron = read("*/20 22-2 1,15 nov-feb *")
    assert cron.minutes == (0, 20, 40)
    assert cron.hours == (0, 1, 2, 22, 23)
    assert cron.days == {1, 15}
    assert cron.months == {11, 12, 1, 2}


@pytest.mark.parametrize(
    "text",
    [
        *("", "0 * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *", "0 0 * * 8", "0 0 * * x"),
        *("*/0 * * * *", "1- * * * *", "-1 * * * *", "1,,2 * * * *", "* * * * * *", "0 0 * * mon-", "0 0 * foo *"),
        "² * * * *",
    ],
)
def test_what_cannot_be_read_says_why(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        read(text)
    assert str(refused.value)


def times(text: str, zone: ZoneInfo, start: datetime, count: int) -> list[str]:
    """The next due times after `start` (a wall time of `zone`), as the clocks there show them."""
    cron, at, found = read(text), start.replace(tzinfo=zone).astimezone(UTC), []
    for _ in range(count):
        due = next_after(cron, at, zone)
        assert due is not None
        at = due
        found.append(f"{at.astimezone(zone):%d %H:%M %Z}")
    return found


def test_a_time_that_does_not_exist_runs_when_the_clocks_have_jumped() -> None:
    """Paris, 29 March 2026: 02:00 becomes 03:00."""
    assert times("30 2 * * *", PARIS, datetime(2026, 3, 28), 3) == ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]
    assert times("0,30 2 * * *", PARIS, datetime(2026, 3, 29), 2) == ["29 03:00 CEST", "30 02:00 CEST"]
    assert times("30 2,3 * * *", PARIS, datetime(2026, 3, 29), 3) == ["29 03:00 CEST", "29 03:30 CEST", "30 02:30 CEST"]
    assert times("15 2 * * *", LORD_HOWE, datetime(2026, 10, 4), 1) == ["04 02:30 +11"], "half an hour there"


def test_a_time_that_exists_twice_runs_the_first_time() -> None:
    """Paris, 25 October 2026: 03:00 becomes 02:00."""
    assert times("30 2 * * *", PARIS, datetime(2026, 10, 24, 12), 2) == ["25 02:30 CEST", "26 02:30 CET"]
    assert times("30 1 * * *", NEW_YORK, datetime(2026, 10, 31, 12), 2) == ["01 01:30 EDT", "02 01:30 EST"]


def test_every_hour_means_the_hours_that_pass() -> None:
    spring = times("30 * * * *", PARIS, datetime(2026, 3, 29, 1), 3)
    assert spring == ["29 01:30 CET", "29 03:30 CEST", "29 04:30 CEST"]
    autumn = times("30 * * * *", PARIS, datetime(2026, 10, 25, 2), 3)
    assert autumn == ["25 02:30 CEST", "25 02:30 CET", "25 03:30 CET"]


def test_what_never_comes_true_is_none_and_29_february_comes() -> None:
    assert next_after(read("0 0 31 2 *"), datetime(2026, 1, 1, tzinfo=UTC), UTC) is None
    assert next_after(read("0 0 29 2 *"), datetime(2096, 3, 1, tzinfo=UTC), UTC) == datetime(2104, 2, 29, tzinfo=UTC)


@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from([PARIS, NEW_YORK, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("Africa/Casablanca")]),
)
def test_a_daily_time_comes_once_each_day(minute: int, hour: int, start: datetime, zone: ZoneInfo) -> None:
    cron, at = read(f"{minute} {hour} * * *"), start.replace(tzinfo=UTC)
    first = next_after(cron, at, zone)
    assert first is not None
    second = next_after(cron, first, zone)
    assert second is not None
    assert at < first <= at + timedelta(hours=26)
    assert timedelta(hours=22) <= second - first <= timedelta(hours=26)
    assert (second.astimezone(zone).date() - first.astimezone(zone).date()).days == 1
