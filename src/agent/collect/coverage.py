"""Which spans of a stream are known, and what is to be asked for next. Pure.

A span that was asked for is known, with rows or without; what was never asked for is not. Holes are what lies between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import pairwise

from pipelines.feed import Stream

Span = tuple[datetime, datetime]
_MOMENT = timedelta(seconds=1)  # venues count in seconds: a gap as short as this is none


class Phase(IntEnum):
    """Order of work: what is new, then holes, then what is older."""

    FORWARD = 0
    HOLE = 1
    HISTORY = 2


@dataclass(frozen=True)
class Task:
    """A span of a stream to ask for. is_first: nothing is known yet, so that its newest page comes first."""

    stream: Stream  # since and until are the span's ends
    phase: Phase
    is_first: bool = False


def add_span(known: Sequence[Span], span: Span) -> tuple[Span, ...]:
    """Sorted spans, none touching another, with one more."""
    low, high = span
    if high < low:
        return tuple(known)
    before = [one for one in known if one[1] + _MOMENT < low]
    after = [one for one in known if one[0] - _MOMENT > high]
    touching = known[len(before) : len(known) - len(after)]
    low = min([low, *(one[0] for one in touching)])
    high = max([high, *(one[1] for one in touching)])
    return (*before, (low, high), *after)


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted spans, none touching another."""
    known: tuple[Span, ...] = ()
    for span in spans:
        known = add_span(known, span)
    return known


def holes(known: Sequence[Span]) -> list[Span]:
    """What lies between known spans, newest first."""
    return [(early[1], late[0]) for early, late in pairwise(known)][::-1]


def covered_fraction(known: Sequence[Span], since: datetime, until: datetime) -> float:
    """Share of [since, until] that is known."""
    whole = (until - since).total_seconds()
    inside = sum(max(0.0, (min(high, until) - max(low, since)).total_seconds()) for low, high in known)
    return 1.0 if whole <= 0 else min(1.0, inside / whole)


def bounds(stream: Stream, now: datetime, earliest: datetime) -> Span:
    """From when to when there may be something that is wanted of a stream."""
    since = max(stream.since or earliest, earliest)
    return since, min(stream.until or now, now)


def tasks(
    stream: Stream, known: Sequence[Span], now: datetime, earliest: datetime, oldest: datetime | None = None
) -> list[Task]:
    """What to ask for, in order: what is new, holes newest first, what is older. `oldest`: the venue has nothing older
    than this."""
    since, until = bounds(stream, now, earliest)
    if until <= since:
        return []
    if not known:
        return [_task(stream, since, until, Phase.HISTORY, is_first=True)]
    found = []
    last = known[-1][1]
    least = stream.overlap if stream.kind == "bars" else timedelta(0)  # no new bar can be over before
    if until - last > max(least - _MOMENT, timedelta(0)) and last < until:
        found.append(_task(stream, max(last - stream.overlap, since), until, Phase.FORWARD))
    for low, high in holes(known):
        if oldest is None or high > oldest:
            found.append(_task(stream, low, high, Phase.HOLE))
    first = known[0][0]
    if first - since > _MOMENT and (oldest is None or first > oldest):
        found.append(_task(stream, since, first, Phase.HISTORY))
    return found


def _task(stream: Stream, since: datetime, until: datetime, phase: Phase, *, is_first: bool = False) -> Task:
    span = Stream(stream.key, stream.kind, stream.overlap, since, until, stream.members)
    return Task(span, phase, is_first)
