"""What time it is for a trader: the host's, and with historical data the end of its newest bar, which moves when a
release brings more."""

from __future__ import annotations

from datetime import datetime

from agent.clock import Clock, SystemClock
from agent.trading.feeds.columns import TableFeed


class FeedClock:
    """The clock of a feed."""

    def __init__(self, feed: TableFeed, real: Clock | None = None) -> None:
        self._feed, self._real = feed, real or SystemClock()

    def now(self) -> datetime:
        """The present instant, aware, UTC."""
        return self._feed.newest_end if self._feed.release.is_historical else self._real.now()


class ReplayClock:
    """A clock that a replay sets to the end of each bar."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """Where the replay stands."""
        return self.at
