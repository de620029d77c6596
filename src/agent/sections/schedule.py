"""[schedule]: When failures are tried again, and jitter."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[schedule]"""

    jitter_seconds: float = setting(0.0, "Start each scheduled run up to this much later.", unit="s", low=0, high=3600)
    retry_base_seconds: float = setting(60.0, "Wait after a component's first failure; doubles.", unit="s", low=0)
    retry_cap_seconds: float = setting(3600.0, "Longest wait after a failure.", unit="s", low=0)
