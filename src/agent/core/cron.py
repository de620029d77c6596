"""Cron expressions of five fields, in a time zone with daylight saving. Pure.

Fields: minute hour day month weekday; lists, ranges that may wrap round (`fri-mon`, `22-2`), steps, English names of
months and weekdays; 0 and 7 are Sunday. Where both day and weekday are restricted, both must match.

Daylight saving, as cron(8) does it: an expression for certain hours runs once a day whatever the clocks do. A time that
does not exist runs when the clocks have jumped over it, one that exists twice runs the first time. An expression for
every hour (`*`) follows the hours that pass: it runs in both of those that are called alike, none that is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from pipelines.values import dataclass

_MONTHS = {
    name: n
    for n, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
_DAYS = {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_HORIZON_DAYS = 8 * 366 + 1  # 29 February comes after eight years at the latest
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Cron:
    """An expression, read. weekdays: 0 is Sunday."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @property
    def is_hourly(self) -> bool:
        """Whether it runs in every hour."""
        return len(self.hours) == 24


def read(text: str) -> Cron:
    """The expression behind `text`. Raises ValueError that says what is wrong."""
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f"it has {len(fields)} field{'s' * (len(fields) != 1)}, not five")
    return Cron(
        minutes=tuple(sorted(_field("minute", fields[0], 0, 59, {}))),
        hours=tuple(sorted(_field("hour", fields[1], 0, 23, {}))),
        days=frozenset(_field("day", fields[2], 1, 31, {})),
        months=frozenset(_field("month", fields[3], 1, 12, _MONTHS)),
        weekdays=frozenset(_field("weekday", fields[4], 0, 6, _DAYS)),
    )


def next_after(cron: Cron, after: datetime, zone: tzinfo) -> datetime | None:
    """The first instant (UTC) later than `after` at which `cron` is due in `zone`; None where it never is."""
    # From the day before: a time that does not exist may be due after midnight.
    first = after.astimezone(zone).date() - timedelta(days=1)
    for number in range(_HORIZON_DAYS):
        day = first + timedelta(days=number)
        if day.day in cron.days and day.month in cron.months and day.isoweekday() % 7 in cron.weekdays:
            due = [at for at in _instants(cron, day, zone) if at > after]
            if due:
                return min(due)
    return None


def _instants(cron: Cron, day: date, zone: tzinfo) -> Iterator[datetime]:
    for hour in cron.hours:
        for minute in cron.minutes:
            yield from _instants_of(datetime.combine(day, time(hour, minute)), zone, is_hourly=cron.is_hourly)


def _instants_of(wall: datetime, zone: tzinfo, *, is_hourly: bool) -> list[datetime]:
    """When the clocks show `wall`: once as a rule."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return [first]
    if first.astimezone(zone).replace(tzinfo=None) == wall:  # the clocks are set back: it comes twice
        return [first, second] if is_hourly else [first]
    return [] if is_hourly else [_jump(second, first, zone)]


def _jump(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The minute between the two at which the clocks are set forward."""
    at, offset = before, after.astimezone(zone).utcoffset()
    while at.astimezone(zone).utcoffset() != offset:
        at += _MINUTE
    return at


def _field(name: str, text: str, low: int, high: int, names: Mapping[str, int]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        if slash and not (step_text.isascii() and step_text.isdecimal() and int(step_text) > 0):
            raise ValueError(f"{part!r} in the field {name} has no step that is a number above 0")
        step = int(step_text) if slash else 1
        if span == "*":
            found.update(range(low, high + 1, step))
            continue
        first_text, dash, last_text = span.partition("-")
        first = _value(name, first_text, low, high, names)
        last = _value(name, last_text, low, high, names) if dash else high if slash else first
        size = high - low + 1
        end = last if last >= first else last + size  # fri-mon wraps round; 7 is Sunday, 0
        found.update(low + (value - low) % size for value in range(first, end + 1, step))
    return found


def _value(name: str, text: str, low: int, high: int, names: Mapping[str, int]) -> int:
    most = 7 if name == "weekday" else high
    if text in names:
        return names[text]
    if text.isascii() and text.isdecimal() and low <= int(text) <= most:
        return int(text)
    known = f", or {', '.join(names)}" if names else ""
    raise ValueError(f"{text!r} is no {name}: they are {low} to {most}{known}")
