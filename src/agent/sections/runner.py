"""[runner]: The background runner."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    """[runner]"""

    resume_on_start: bool = setting(False, "Whether a runner that nobody stopped goes on when the server starts again.")
