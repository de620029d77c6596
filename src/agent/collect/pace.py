"""Time as an argument: when it is, and how to wait."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Pace(Protocol):
    """A clock that can be waited by."""

    def now(self) -> datetime:
        """The time, UTC."""

    def elapsed(self) -> float:
        """Seconds since some instant; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Let others go on for so long."""


class RealPace:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Seconds since some instant; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let others go on for so long."""
        await asyncio.sleep(seconds)
