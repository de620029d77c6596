"""Time as an object, so that decisions take `now` as an argument and tests need no patching."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from pipelines.values import dataclass


class Clock(Protocol):
    """Anything that knows what time it is."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""


@dataclass(frozen=True)
class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class AsOfClock:
    """Historical data's present: its newest tick."""

    as_of: datetime

    def now(self) -> datetime:
        return self.as_of
