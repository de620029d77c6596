"""Bars and forecasts of many markets as columns, and the answers of a Feed about them. Pure."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property

from agent.amounts import of_float
from agent.errors import NotFound
from agent.trading.feed import Bar, Listing, Published, ReleaseInfo, Returns
from agent.trading.measures.hours import ALWAYS, Hours, open_hours, open_seconds
from pipelines.values import dataclass

_MOST_BARS, _MOST_DAYS = 100, 250  # of returns: what the rules ask for


@dataclass(frozen=True)
class BarColumns:
    """The bars of one market by time. ends, starts: aware UTC; NaN in `volume`, `bid` and `ask`: unknown."""

    starts: Sequence[datetime]
    ends: Sequence[datetime]
    open: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    bid: Sequence[float]
    ask: Sequence[float]

    def bar(self, number: int) -> Bar:
        """One bar as amounts."""

        def known(value: float) -> bool:
            return not math.isnan(value)

        volume, bid, ask = self.volume[number], self.bid[number], self.ask[number]
        return Bar(
            start=self.starts[number],
            end=self.ends[number],
            open=of_float(self.open[number]),
            close=of_float(self.close[number]),
            volume=of_float(volume) if known(volume) else None,
            bid=of_float(bid) if known(bid) else None,
            ask=of_float(ask) if known(ask) else None,
        )

    @cached_property
    def last_of_days(self) -> list[int]:
        """The number of the last bar of each UTC day."""
        days = [end.date() for end in self.ends]
        return [number for number, day in enumerate(days) if number + 1 == len(days) or days[number + 1] != day]

    @cached_property
    def open_hours(self) -> Hours:
        """Hours of the week in which the market trades."""
        return open_hours(self.starts, self.ends)


@dataclass(frozen=True)
class Tables:
    """All that a feed knows: listings, bars, and forecasts by time. `said`: market -> its forecasts, the oldest first.
    newest_end: when the newest bar of any market ended, where that is asked for."""

    release: ReleaseInfo
    listings: Mapping[str, Listing]
    bars: Mapping[str, BarColumns]
    said: Mapping[str, Sequence[Published]]
    newest_end: datetime | None = None


class TableFeed:
    """A feed over tables that do not change."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @property
    def release(self) -> ReleaseInfo:
        """What is traded."""
        return self._tables.release

    def refresh(self) -> None:
        """Nothing is ever published here."""

    def is_outdated(self) -> bool:
        """Never."""
        return False

    def listings(self) -> Sequence[Listing]:
        """All markets."""
        return list(self._tables.listings.values())

    def listing(self, market_id: str) -> Listing:
        """One market. Raises NotFound."""
        found = self._tables.listings.get(market_id)
        if found is None:
            raise NotFound(
                f"market {market_id} is not in release {self.release.name}",
                where="the release's markets",
                fix="`agent signals` lists what it speaks of",
            )
        return found

    def _columns(self, market_id: str) -> BarColumns | None:
        return self._tables.bars.get(market_id)

    def bars(self, market_id: str, since: datetime, until: datetime) -> Sequence[Bar]:
        """Bars that start at or after `since` and end by `until`."""
        columns = self._columns(market_id)
        if columns is None:
            return []
        first, after = bisect_left(columns.starts, since), bisect_right(columns.ends, until)
        return [columns.bar(number) for number in range(first, after)]

    def newest(self, market_id: str, until: datetime) -> Bar | None:
        """The newest bar that has ended."""
        columns = self._columns(market_id)
        after = 0 if columns is None else bisect_right(columns.ends, until)
        return columns.bar(after - 1) if columns is not None and after else None

    def returns(self, market_id: str, until: datetime) -> Returns:
        """Log returns of the newest bars and simple ones of whole days before `until`'s."""
        columns = self._columns(market_id)
        if columns is None:
            return Returns()
        after = bisect_right(columns.ends, until)
        near = columns.close[max(0, after - _MOST_BARS - 1) : after]
        days = list(columns.last_of_days[: bisect_left(columns.last_of_days, after)])
        closes = [columns.close[number] for number in days[-_MOST_DAYS - 1 :]]
        return Returns(
            days=[later / before - 1 if before else 0.0 for before, later in itertools.pairwise(closes)],
            bars=[
                math.log(later / before) if before > 0 and later > 0 else 0.0
                for before, later in itertools.pairwise(near)
            ],
        )

    def published(self, market_id: str, until: datetime) -> Published | None:
        """The newest forecast."""
        said = self._tables.said.get(market_id, ())
        after = bisect_right(said, until, key=lambda one: one.ts)
        return said[after - 1] if after else None

    def last_entry(self, market_id: str, side: int, until: datetime) -> datetime | None:
        """The end of the newest bar that would have entered on `side`."""
        said = self._tables.said.get(market_id, ())
        after = bisect_right(said, until, key=lambda one: one.ts)
        return next((said[number].ts for number in range(after - 1, -1, -1) if said[number].enters == side), None)

    def bars_since(self, market_id: str, since: datetime, until: datetime) -> int:
        """How many bars ended after `since`, up to `until`."""
        columns = self._columns(market_id)
        return 0 if columns is None else bisect_right(columns.ends, until) - bisect_right(columns.ends, since)

    def open_seconds(self, market_id: str, since: datetime, until: datetime) -> float:
        """How long the market was open between two moments, as far as its bars show."""
        columns = self._columns(market_id)
        return open_seconds(ALWAYS if columns is None else columns.open_hours, since, until)

    @property
    def newest_end(self) -> datetime:
        """When the newest bar of any market ended: the present of historical data. Raises NotFound without bars."""
        newest = self._tables.newest_end
        if newest is None:
            raise NotFound("the release has no bars", where=self.release.name, fix="`agent run` brings some")
        return newest

    def spoken_of(self) -> list[str]:
        """Markets that there are forecasts of."""
        return sorted(market for market, said in self._tables.said.items() if said)

    def ends(self, since: datetime | None, until: datetime | None) -> list[datetime]:
        """All moments from the first forecast on at which a bar of a market with forecasts ended: the clock of a
        replay. since, until: those alone."""
        said = [one[0].ts for one in self._tables.said.values() if one]
        first = max(min(said), since or min(said)) if said else None
        found: set[datetime] = set()
        for market in self.spoken_of() if first is not None else ():
            columns = self._columns(market)
            if columns is not None and first is not None:
                after = len(columns.ends) if until is None else bisect_right(columns.ends, until)
                found.update(columns.ends[bisect_left(columns.ends, first) : after])
        return sorted(found)
