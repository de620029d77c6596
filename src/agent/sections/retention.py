"""[retention]: What is kept, and for how long."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[retention]"""

    keep_days: int = setting(
        90, "Runs with their events and attempts are removed after this.", unit="days", low=1, high=36500
    )
    keep_runs: int = setting(200, "At least this many of the newest runs are kept, however old.", low=1)
    keep_output_days: int = setting(
        7, "Replaced outputs that no kept release needs are kept this long.", unit="days", low=0, high=36500
    )
    keep_releases: int = setting(20, "Releases gc keeps, the current one always among them.", low=1)
