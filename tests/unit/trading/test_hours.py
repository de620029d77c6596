"""In which hours of the week a market is open, as its bars show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.trading.measures.hours import ALWAYS, open_hours, open_seconds

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def bars(starts: Sequence[datetime], length: timedelta) -> tuple[list[datetime], list[datetime]]:
    return list(starts), [one + length for one in starts]


def exchange(weeks: int) -> tuple[list[datetime], list[datetime]]:
    """Hourly bars from 14:00 to 21:00 UTC on five days a week."""
    days = [MONDAY + DAY * number for number in range(weeks * 7) if number % 7 < 5]
    return bars([day + HOUR * hour for day in days for hour in range(14, 21)], HOUR)


def test_nights_and_weekends_of_an_exchange_do_not_count() -> None:
    hours = open_hours(*exchange(4))
    assert len(hours) == 5 * 7
    friday = MONDAY + DAY * 25 + HOUR * 21
    assert open_seconds(hours, friday, friday + DAY * 2) == 0
    opening = MONDAY + DAY * 28 + HOUR * 14
    assert open_seconds(hours, friday, opening) == 0
    assert open_seconds(hours, friday, opening + HOUR * 1.5) == 5400
    assert open_seconds(hours, friday, friday + DAY * 7) == 5 * 7 * 3600


def test_daily_bars_of_working_days_leave_out_the_weekend() -> None:
    days = [MONDAY + DAY * number for number in range(28) if number % 7 < 5]
    hours = open_hours(*bars(days, DAY))
    friday_midnight = MONDAY + DAY * 26
    assert open_seconds(hours, friday_midnight, friday_midnight + DAY * 2.5) == 43_200


def test_a_market_that_never_closes_is_open_all_the_time() -> None:
    assert open_hours(*bars([MONDAY + HOUR * number for number in range(24 * 15)], HOUR)) == ALWAYS


def test_a_quiet_market_is_open_in_hours_without_a_trade() -> None:
    """Trades of five minutes here and there: nine of ten hours had none in a given week, and each had one in eight."""
    quiet = [MONDAY + HOUR * hour for hour in range(24 * 7 * 8) if (hour + hour // 168) % 8 == 0]
    assert open_hours(*bars(quiet, timedelta(minutes=5))) == ALWAYS


def test_less_than_two_weeks_say_nothing() -> None:
    assert open_hours(*exchange(1)) == ALWAYS
    assert open_hours((), ()) == ALWAYS


def test_only_the_last_eight_weeks_count() -> None:
    """A market that traded day and night once, and closes at night now."""
    before = [MONDAY - HOUR * number for number in range(1, 24 * 30)][::-1]
    starts, ends = exchange(9)
    early, early_ends = bars(before, HOUR)
    assert len(open_hours([*early, *starts], [*early_ends, *ends])) == 5 * 7


SECONDS = st.integers(0, 3650 * 86_400)
MOMENTS = SECONDS.map(lambda seconds: MONDAY + timedelta(seconds=seconds))


@given(st.frozensets(st.integers(0, 167)), MOMENTS, MOMENTS, MOMENTS)
def test_open_time_adds_up_and_is_never_more_than_time(
    hours: frozenset[int], one: datetime, two: datetime, three: datetime
) -> None:
    first, between, last = sorted((one, two, three))
    whole = open_seconds(hours, first, last)
    assert abs(whole - open_seconds(hours, first, between) - open_seconds(hours, between, last)) < 1e-3
    assert 0 <= whole <= (last - first).total_seconds() + 1e-3
    assert abs(open_seconds(ALWAYS, first, last) - (last - first).total_seconds()) < 1e-3
    assert open_seconds(hours, last, first) == 0
