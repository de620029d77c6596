"""In which hours of the week a market is open, and how long it was open between two moments. Pure.

No source says when a market trades; its bars show it. An hour of the week (UTC) counts as open where any bar of the
last eight weeks touched it: so a quiet market is open in hours without a trade, and one that closes at night and over
the weekend is not. Where summer time began or ended meanwhile both hours count, and a holiday counts as open: a release
is rather called old than fresh.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

Hours = frozenset[int]
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
WEEKS, LEAST_WEEKS = 8, 2
ALWAYS: Hours = frozenset(range(168))
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def open_hours(starts: Sequence[datetime], ends: Sequence[datetime]) -> Hours:
    """Hours of the week, 0 from Monday 00:00 UTC on, in which bars lie. All of them where there are less than two weeks
    of bars: what was seen once may be chance."""
    if not ends or ends[-1] - starts[0] < LEAST_WEEKS * WEEK:
        return ALWAYS
    first = max(starts[0], ends[-1] - WEEKS * WEEK)
    hour, found = _hour_before(first), set[int]()
    while hour < ends[-1]:
        if bisect_left(starts, hour + HOUR) > bisect_right(ends, hour):
            found.add(_slot(hour))
        hour += HOUR
    return frozenset(found)


def open_seconds(hours: Hours, since: datetime, until: datetime) -> float:
    """How long a market that is open in `hours` was open from `since` to `until`; 0 where `since` is later."""
    if until <= since:
        return 0.0
    weeks = (until - since) // WEEK
    at, seconds = since + weeks * WEEK, weeks * len(hours) * HOUR.total_seconds()
    while at < until:
        end = min(until, _hour_before(at) + HOUR)
        if _slot(at) in hours:
            seconds += (end - at).total_seconds()
        at = end
    return seconds


def _hour_before(moment: datetime) -> datetime:
    return _MONDAY + (moment - _MONDAY) // HOUR * HOUR


def _slot(moment: datetime) -> int:
    return (moment - _MONDAY) // HOUR % len(ALWAYS)
