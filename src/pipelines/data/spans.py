"""Spans of time that partitions stand for, by their keys: 2013, 2013-01 or 2013-01-05. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache


def span_key(name: str) -> str:
    """The span in a partition's key: "2013" for bars/2013 and bars/made/2013."""
    return name.rpartition("/")[2]


@lru_cache(maxsize=4096)
def span_of(key: str) -> tuple[datetime, datetime]:
    """Start and end of span `key`, a year, a month or a day in UTC."""
    year, month, day = (*(int(part) for part in key.split("-")), 0, 0)[:3]
    start = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return start, datetime(year + 1, 1, 1, tzinfo=UTC)
