"""Which column holds the time, how it is written, and how far apart bars are."""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from datetime import time
from typing import TYPE_CHECKING, Any

from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.data.guessing.words import ENDS_A_BAR, folded, times_of
from pipelines.errors import BadInput
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_FORMATS = (
    *("%Y-%m-%d %H:%M:%S%.f", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d%H%M%S", "%Y%m%d%H%M"),
    *("%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d"),
    *("%d.%m.%Y %H:%M:%S%.f", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d.%m.%y"),
    *("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y"),
    *("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%Y-%m-%d %I-%p", "%m/%d/%Y %I:%M:%S %p"),
    *("%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M:%S%.3f GMT%z"),
)
_UNITS = (("s", 1e8, 2e10), ("ms", 1e11, 2e13), ("us", 1e14, 2e16), ("ns", 1e17, 9.3e18))
_ZONES = (
    *("UTC", "America/New_York", "Europe/London", "Europe/Berlin", "America/Chicago", "Asia/Tokyo", "Asia/Hong_Kong"),
    *("Australia/Sydney", "Asia/Kolkata", "Asia/Singapore", "America/Toronto", "Europe/Moscow", "America/Sao_Paulo"),
)
_NICE = (1, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200)


@dataclass(frozen=True)
class Times:
    """The column of times as settings (columns.ts, ts_unit, ts_format, timezone, ts_is), and the times themselves."""

    selector: str
    settings: dict[str, Any]
    instants: pl.Series  # UTC, null where not read
    days_only: bool
    unsure: list[str] = field(default_factory=list)


def find_times(table: pl.DataFrame, names: list[str], *, since_midnight: bool = False) -> Times | None:
    """The times of a table by its columns' names and values; None where no column holds any. `since_midnight`: they
    count from a day that stands elsewhere."""
    import polars as pl

    if since_midnight:
        return Times(names[0], {}, pl.Series([None], dtype=pl.Datetime("us", "UTC")), days_only=False)
    candidates = [name for name in times_of(names) if not isinstance(table.schema[name], pl.List)]
    for name in candidates or names:
        if not candidates and table.schema[name].is_numeric() and _unit(table.get_column(name)) is None:
            continue
        pair = _second_half(table, name, names)
        column = table.get_column(name) if pair is None else table.select(pl.format("{} {}", name, pair)).to_series()
        found = _read(column, name if pair is None else f"{{{name}}} {{{pair}}}")
        if found is not None:
            others = [one for one in candidates if one not in (name, pair) and _is_clock(table, one)]
            if others:
                found.unsure.append(f"times are those of {name!r}; there are {', '.join(others)} besides")
            return found
    return None


def _is_clock(table: pl.DataFrame, name: str) -> bool:
    found = _read(table.get_column(name).head(100), name)
    return found is not None and not found.days_only


def _second_half(table: pl.DataFrame, name: str, names: list[str]) -> str | None:
    """The column with the time of day beside a column of dates."""
    import polars as pl

    if table.schema[name] != pl.String:
        return None
    for other in names:
        if other != name and folded(other) in ("time", "uhrzeit", "zeit", "hour", "timeofday", "t"):
            column = table.get_column(other)
            if column.dtype == pl.String and bool(column.drop_nulls().str.contains(r"^\d{1,2}:?\d{2}").all()):
                dates = table.get_column(name).drop_nulls().head(50)
                return other if not bool(dates.str.contains(":").any()) else None
    return None


def _unit(column: pl.Series) -> str | None:
    middle = column.drop_nulls().cast(float, strict=False).median()
    if not isinstance(middle, float):
        return None
    return next((unit for unit, low, high in _UNITS if low <= middle <= high), None)


def _read(column: pl.Series, selector: str) -> Times | None:
    """The column by the first way that reads all of it."""
    import polars as pl

    settings: dict[str, Any] = {}
    unsure: list[str] = []
    kind = column.dtype
    if kind.is_numeric() or (kind == pl.String and column.drop_nulls().str.contains(r"^\s*\d{9,19}(\.\d+)?\s*$").all()):
        unit = _unit(column)
        if unit is not None:
            settings["ts_unit"] = unit
        elif kind.is_numeric():
            return None
    elif kind not in (pl.String, pl.Date) and not isinstance(kind, pl.Datetime):
        return None
    if folded(selector) in ENDS_A_BAR:
        settings["ts_is"] = "end"
    days_only = kind == pl.Date
    if kind == pl.String and "ts_unit" not in settings:
        form = _format(column, unsure)
        if form is None:
            return None
        if form:
            settings["ts_format"] = form
        text = column.drop_nulls().head(1000).str.strip_chars()
        days_only = "%H" not in form and "%I" not in form if form else not bool(text.str.contains(r"\d:|T\d").any())
    instants, naive = _instants(column, settings)
    if instants is None or instants.null_count() > len(instants) * 0.05:
        return None
    if naive:
        settings["timezone"] = "UTC"
    return Times(selector, settings, instants, days_only, unsure)


def _instants(column: pl.Series, settings: dict[str, Any]) -> tuple[pl.Series | None, bool]:
    """The times in UTC, and whether they say no zone themselves."""
    for zone in (None, "UTC"):
        try:
            times, broken = to_utc(column, TimeRules(settings.get("ts_unit"), settings.get("ts_format"), zone), "")
        except BadInput:
            continue
        if zone is None and broken.drop_nulls().str.contains("without zone").any():
            continue
        return times, zone is not None
    return None, False


def _format(column: pl.Series, unsure: list[str]) -> str | None:
    """The format of times that are text; "" where it is ISO 8601, None where none fits."""
    from polars.exceptions import PolarsError

    text = column.drop_nulls()
    text = text.filter(text.str.strip_chars() != "")
    if text.is_empty():
        return None
    times, _ = _instants(text, {})
    if times is not None and times.null_count() <= len(text) * 0.01:
        return ""
    fitting: list[tuple[int, int, str]] = []
    for form in _FORMATS:
        try:
            read = text.str.strip_chars().str.to_datetime(form, time_unit="us", strict=False)
        except PolarsError:
            continue
        if read.null_count() <= len(text) * 0.01 and read.dt.year().min() >= 1900:  # type: ignore[operator]
            fitting.append((len(set(read.diff().drop_nulls().dt.total_seconds().abs())), len(fitting), form))
    if not fitting:
        return None
    best = min(fitting)[2]
    swapped = {best.replace("%d", "%#").replace("%m", "%d").replace("%#", "%m")} & {one[2] for one in fitting}
    if swapped:
        unsure.append(f"times could be {best} or {swapped.pop()}: day and month cannot be told apart")
    return best


def spacing(instants: pl.Series, groups: pl.Series | None) -> Counter[int]:
    """How often which distance in seconds lies between neighbours of a market."""
    import polars as pl

    frame = pl.DataFrame({"ts": instants, "market": groups if groups is not None else [0] * len(instants)})
    steps = frame.drop_nulls("ts").sort("market", "ts").select(pl.col("ts").diff().over("market").dt.total_seconds())
    counts = steps.to_series().drop_nulls().value_counts(sort=True)
    return Counter({int(seconds): count for seconds, count in counts.iter_rows() if seconds > 0})


def interval_of(times: Times, steps: Counter[int], said: int | str | None, unsure: list[str]) -> dict[str, Any]:
    """Settings interval_seconds or interval (with the zone whose clock it goes by)."""
    if not steps:
        unsure.append("the length of a bar is not known: there are not two rows of a market")
        found = said if said is not None else ("day" if times.days_only else 60)
        return {"interval": found} if isinstance(found, str) else {"interval_seconds": found}
    least, usual = min(steps), steps.most_common(1)[0][0]
    if times.days_only or least >= 23 * 3600:
        calendar = "day" if usual < 5 * 86_400 else "week" if usual < 20 * 86_400 else "month"
        if isinstance(said, str) and said != calendar:
            unsure.append(f"the file's name says {said}, the times are a {calendar} apart")
        if usual > 32 * 86_400:
            unsure.append("rows are further apart than a month")
        return {"interval": calendar, **_zone_of_days(times, unsure)}
    if isinstance(said, int) and said <= least:
        return {"interval_seconds": said}
    if least in _NICE and (steps[least] >= 0.005 * steps.total() or all(step % least == 0 for step in steps)):
        seconds = least
    else:
        seconds = usual
    if seconds != usual:
        unsure.append(f"bars are taken to be of {seconds} s, the smallest distance; the usual one is {usual} s")
    if any(step < seconds for step in steps):
        unsure.append(f"some rows are closer together than {seconds} s: they would overlap")
    return {"interval_seconds": seconds}


def _zone_of_days(times: Times, unsure: list[str]) -> dict[str, Any]:
    """The zone on whose clock daily bars begin at one and the same time."""
    if "timezone" in times.settings:
        unsure.append("days are taken to be of UTC: set timezone to that of the exchange")
        return {}
    for zone in _ZONES:
        if times.instants.drop_nulls().dt.convert_time_zone(zone).dt.time().n_unique() == 1:
            if zone != "UTC":
                unsure.append(f"the days begin at one time of day in {zone}, not in UTC")
            return {"timezone": zone}
    unsure.append("no zone is known in which the days begin at one time of day")
    return {"timezone": "UTC"}


def session_zone(times: Times) -> str | None:
    """New York where times without a zone begin at 9:30."""
    if "timezone" not in times.settings or times.days_only:
        return None
    first = times.instants.drop_nulls().dt.time().min()
    return "America/New_York" if first == time(9, 30) else None
