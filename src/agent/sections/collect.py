"""[collect]: How often remote sources are asked for what is new."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[collect]"""

    every_seconds: float = setting(60.0, "Pause of `agent collect` between two passes.", unit="s", low=1)
    before_runs_seconds: float = setting(
        60.0, "Longest that a scheduled or queued run waits for what is new; 0: it collects nothing.", unit="s", low=0
    )
