"""[lake]: What is kept of what was computed."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[lake]"""

    keep_results_days: float = setting(
        7, "Results are found again, and kept, this long after they were last used or replaced.", unit="days", low=0
    )
