"""[runner]: The background runner."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[runner]"""

    resume_on_start: bool = setting(False, "Whether a runner that nobody stopped goes on when the server starts again.")
