"""Times of files: what is understood, what is refused, and that nothing is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.errors import BadInput

MORNING = datetime(2020, 1, 1, 8, tzinfo=UTC)


def read(values: list[Any], unit: Any = None, form: str | None = None, zone: str | None = None) -> list[Any]:
    """Each value's instant, or the rule it breaks."""
    times, rules = to_utc(pl.Series(values), TimeRules(unit, form, zone), "prices.csv")
    assert times.dtype == pl.Datetime("us", "UTC")
    assert all(time is None or rule is None for time, rule in zip(times, rules, strict=True))
    return [time or rule for time, rule in zip(times, rules, strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-01T08:00:00Z",
        "2020-01-01 08:00:00+00:00",
        "2020-01-01T10:00:00.000+0200",
        " 2020-01-01T03:00-05:00 ",
    ],
)
def test_text_with_a_zone_needs_no_setting(text: str) -> None:
    assert read([text, None]) == [MORNING, None]


@pytest.mark.parametrize("text", ["2020-01-01 09:00:00", "2020-01-01T09:00"])
def test_naive_text_is_in_the_zone_of_the_settings(text: str) -> None:
    assert read([text], zone="Europe/Berlin") == [MORNING]
    with pytest.raises(BadInput, match="timestamp without zone") as caught:
        read([text])
    assert 'timezone = "UTC"' in caught.value.fix
    assert caught.value.where == "prices.csv"


def test_naive_times_and_dates_need_the_zone_whatever_their_type() -> None:
    for value in (date(2020, 1, 1), datetime.fromisoformat("2020-01-01"), "2020-01-01", "20200101"):
        assert read([value], zone="UTC") == [datetime(2020, 1, 1, tzinfo=UTC)]
        with pytest.raises(BadInput, match="timestamp without zone"):
            read([value])


def test_one_naive_time_among_zoned_ones_is_a_bad_row() -> None:
    assert read(["2020-01-01T08:00:00Z", "2020-01-01T08:00:00"]) == [MORNING, "timestamp without zone"]


def test_an_hour_that_clocks_skip_is_a_bad_row() -> None:
    texts = ["2021-03-14 02:30:00", "2021-07-01 09:30:00"]
    fault = "this hour does not exist in America/New_York"
    assert read(texts, zone="America/New_York") == [fault, datetime(2021, 7, 1, 13, 30, tzinfo=UTC)]
    naive = [datetime.fromisoformat(text) for text in texts]
    assert read(naive, zone="America/New_York")[0] == fault


@pytest.mark.parametrize("step", [1, -1])
def test_an_hour_that_comes_twice_is_told_by_the_order_of_the_rows(step: int) -> None:
    clock = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    hours = [4.5, 5.0, 5.5, 6.0, 6.5, 7.0]  # UTC
    rows = [f"2021-11-07 {shown}:00" for shown in clock][::step]
    wanted = [datetime(2021, 11, 7, tzinfo=UTC) + timedelta(hours=one) for one in hours][::step]
    assert read(rows, zone="America/New_York") == wanted
    assert read(rows * 2, zone="America/New_York") == wanted * 2, "two markets, one after the other"
    assert read(["2021-11-07 01:30:00"], zone="America/New_York") == [datetime(2021, 11, 7, 5, 30, tzinfo=UTC)]


def test_a_midnight_that_does_not_exist_is_the_days_first_instant() -> None:
    days = ["2024-04-25", "2024-04-26", "2024-04-27"]  # in Cairo the clocks went from 0:00 to 1:00 on the 26th
    wanted = [datetime(2024, 4, 24 + n, hour, tzinfo=UTC) for n, hour in enumerate((22, 22, 21))]
    assert read(days, zone="Africa/Cairo") == wanted
    assert read([date.fromisoformat(one) for one in days], zone="Africa/Cairo") == wanted


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_whole_numbers_need_their_unit(unit: str, factor: int) -> None:
    number = int(MORNING.timestamp()) * factor
    assert read([number], unit=unit) == [MORNING]
    assert read([str(number), "x"], unit=unit) == [MORNING, "time is not a number"]
    with pytest.raises(BadInput, match="their unit is not given"):
        read([number])
    assert "ts_unit" in read([str(number)])[0]


def test_a_wrong_unit_is_seen_by_the_year() -> None:
    seconds = int(MORNING.timestamp())
    for number, said, right in ((seconds * 1000, "s", "ms"), (seconds, "ms", "s"), (seconds * 1000, "us", "ms")):
        for value in (number, str(number)):
            with pytest.raises(BadInput, match="every time is before 1990 or after tomorrow") as caught:
                read([value], unit=said)
            assert f"set ts_unit = '{right}': the times are then of 2020-01-01" in caught.value.fix
    assert read([86_400], unit="s") == [datetime(1970, 1, 2, tzinfo=UTC)], "no other unit fits"
    assert "is ts_unit right?" in read([10**15, seconds], unit="s")[0]


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-01 08:00:00+00",
        "2020-01-01 10:00:00.000+02",
        "20200101T080000Z",
        "20200101T0800Z",
        "20200101 080000",
        "20200101T030000-0500",
    ],
)
def test_times_as_postgresql_and_basic_iso_write_them(text: str) -> None:
    assert read([text], zone="UTC") == [MORNING]


def test_fractions_of_a_second() -> None:
    assert read([MORNING.timestamp() + 0.25], unit="s") == [MORNING.replace(microsecond=250_000)]
    assert read(["2020-01-01T08:00:00.123456Z"]) == [MORNING.replace(microsecond=123_456)]


def test_a_format_of_your_own() -> None:
    assert read(["01/02/2020 10:00", "2020"], form="%d/%m/%Y %H:%M", zone="UTC") == [
        datetime(2020, 2, 1, 10, tzinfo=UTC),
        "time is not of the format %d/%m/%Y %H:%M",
    ]
    assert read(["01/01/2020 09:00 +0100"], form="%d/%m/%Y %H:%M %z") == [MORNING]


def test_unknown_zone_and_odd_types_are_named() -> None:
    with pytest.raises(BadInput, match="Mars"):
        read(["2020-01-01"], zone="Mars/Base")
    with pytest.raises(BadInput, match="type List"):
        read([[1]])


def test_empty_columns() -> None:
    assert read([None, None]) == [None, None]
    assert read([]) == []
