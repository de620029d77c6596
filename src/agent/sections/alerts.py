"""[alerts]: Messages about what goes wrong."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[alerts]"""

    urls: tuple[str, ...] = setting((), "Apprise URLs that messages go to.", secret=True)
    failures: int = setting(3, "Failures of a component in a row that are worth a message.", low=1)
    period_minutes: int = setting(60, "At most one message a cause in this time.", unit="min", low=1)
