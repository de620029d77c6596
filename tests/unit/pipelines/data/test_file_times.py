"""Times of files: what is understood, what is refused, and that nothing is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime
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


def test_hours_that_clocks_skip_or_repeat_are_not_guessed() -> None:
    texts = ["2021-03-14 02:30:00", "2021-11-07 01:30:00", "2021-07-01 09:30:00"]
    fault = "this hour does not exist, or exists twice, in America/New_York"
    assert read(texts, zone="America/New_York") == [fault, fault, datetime(2021, 7, 1, 13, 30, tzinfo=UTC)]
    naive = [datetime.fromisoformat(text) for text in texts]
    assert read(naive, zone="America/New_York")[:2] == [fault, fault]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_whole_numbers_need_their_unit(unit: str, factor: int) -> None:
    number = int(MORNING.timestamp()) * factor
    assert read([number], unit=unit) == [MORNING]
    assert read([str(number), "x"], unit=unit) == [MORNING, "time is not a number"]
    with pytest.raises(BadInput, match="their unit is not given"):
        read([number])
    assert "ts_unit" in read([str(number)])[0]


def test_a_wrong_unit_is_seen_by_the_year() -> None:
    assert "is ts_unit right?" in read([int(MORNING.timestamp() * 1000)], unit="s")[0]


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
