"""Bars out are bars in, value by value: any zone, change of the clocks, interval, offset, partition and batching.

The calendar is worked out here by Python's zoneinfo, day by day, and not by what is tested.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines.component import perform
from pipelines.components.features import Settings as FeatureSettings
from pipelines.components.features import build_features
from pipelines.features.bars import look_at
from tests.examples import examples
from tests.integration.ticks.mill import Mill

ZONES = sorted(available_timezones() - {"Factory", "localtime"})
SECONDS = (60, 300, 900, 3_600, 14_400, 23 * 3_600, 86_400, 7 * 86_400)
PRICES = ("open", "high", "low", "close", "volume")


@cache
def changes(zone: str) -> tuple[date, ...]:
    """Days on which the clocks of `zone` are set, 1971 to 2036."""
    at, end, found = datetime(1971, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC), []
    offset = at.astimezone(ZoneInfo(zone)).utcoffset()
    while at < end:
        at += timedelta(days=1)
        now = at.astimezone(ZoneInfo(zone)).utcoffset()
        if now != offset:
            found.append(at.date())
        offset = now
    return tuple(found)


def instant(day: date, at: time, zone: str) -> datetime:
    """When clocks in `zone` first show `at` on `day` or, on a day without a midnight, the day's first instant."""
    shown = datetime.combine(day, at)
    found = shown.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if found.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == shown:
        return found
    assume(at == time())  # bars of 2:30 on a day without 2:30 are nobody's
    begin = found - timedelta(hours=26)
    for step in (timedelta(minutes=15), timedelta(seconds=1)):
        while begin.astimezone(ZoneInfo(zone)).date() < day:
            begin += step
        begin -= step
    return begin + timedelta(seconds=1)


def month_after(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


@dataclass(frozen=True)
class Given:
    """What a source says: rows of (start, end, open, high, low, close, volume), and the settings that read them."""

    dataset: dict[str, Any]
    rows: tuple[tuple[Any, ...], ...]


@st.composite
def given_bars(draw: st.DrawFn) -> Given:
    zone = draw(st.sampled_from(ZONES))
    near = st.sampled_from(changes(zone)) if changes(zone) else st.nothing()
    day = draw(near | st.dates(date(1971, 1, 1), date(2035, 1, 1))) - timedelta(days=draw(st.integers(0, 20)))
    count = draw(st.integers(1, 40))
    interval = draw(st.sampled_from(["day", "day", "week", "month", *SECONDS]))
    dataset: dict[str, Any] = {"path": "*.csv", "kind": "spot", "market": "M", "timezone": zone}
    if isinstance(interval, int):
        step = timedelta(seconds=interval)
        offset = timedelta(seconds=draw(st.sampled_from([0, 45, 2_700, 34_200, 79_200])))
        begin = datetime.combine(day, time(), UTC) + offset
        edges = [begin + n * step for n in range(count + 1)]
        # 86400 s in a zone whose clocks change would be read as its days: those are the other branch.
        dataset |= {"interval_seconds": interval, "timezone": "UTC"}
    else:
        at = draw(st.sampled_from([time(), time(), time(17), time(22), time(9, 30)]))
        days = [day - timedelta(days=day.day - 1)] if interval == "month" else [day]
        for _ in range(count):
            last = days[-1]
            days.append(
                month_after(last) if interval == "month" else last + timedelta(days=7 if interval == "week" else 1)
            )
        edges = [instant(one, at, zone) for one in days]
        assume(all(one < two for one, two in pairwise(edges)))  # a day that was skipped
        dataset["interval"] = interval
    price = st.floats(1e-3, 1e6)
    rows = []
    for start, end in pairwise(edges):
        if draw(st.integers(0, 5)) == 0:
            continue  # a gap
        low, high = sorted((draw(price), draw(price)))
        rows.append((start, end, low, high, low, high, draw(st.sampled_from([0.0, 1.5, 7.25]))))
    return Given(dataset, tuple(rows))


def write(mill: Mill, name: str, rows: tuple[tuple[Any, ...], ...]) -> None:
    lines = [f"{start.isoformat()},{','.join(map(repr, values))}" for start, _, *values in rows]
    mill.write(name, "\n".join(["ts,open,high,low,close,volume", *lines]) + "\n")


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    source=given_bars(),
    partition=st.sampled_from(["auto", "day", "month", "year"]),
    files=st.lists(st.lists(st.integers(0, 39), max_size=12), max_size=3),
)
def test_bars_out_are_bars_in(source: Given, partition: str, files: list[list[int]], tmp_path: Path) -> None:
    folder = tmp_path / "history"
    shutil.rmtree(folder, ignore_errors=True)
    mill = Mill(folder, [source.dataset], partition=partition)
    write(mill, "a.csv", ())
    mill.run()
    # Some rows come first, in files of their own and in any order; then one file has all of them.
    for number, picked in enumerate(files):
        write(mill, f"b{number}.csv", tuple(source.rows[n] for n in picked if n < len(source.rows)))
        mill.run()
    write(mill, "c.csv", source.rows[::-1])
    ticks = mill.run()
    assert ticks.version == mill.run(fresh=True).version
    assert mill.markets is not None
    inputs = {"ticks": ticks, "markets": mill.markets}
    features = perform(build_features, FeatureSettings(), inputs, lake=mill.lake, attempt="f")
    for snapshot in (ticks, features):
        parts = [mill.lake.read_table(one) for one in snapshot.select("bars/")]
        seen = pl.concat(parts).sort("start").select("start", "end", *PRICES).rows() if parts else []
        assert seen == list(source.rows)
    if source.rows:
        shown = pl.concat([look_at(mill.lake.read_table(one)) for one in features.select("bars/")])
        assert shown.sort("ts")["ts"].to_list() == [end for _, end, *_ in source.rows]
        known = mill.lake.read_tables(features.select("features/")).sort("ts")["ts"].to_list()
        assert known == [end for _, end, *_ in source.rows], "one row of features for each bar, known at its end"
