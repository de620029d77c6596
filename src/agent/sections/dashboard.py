"""[dashboard]: The Streamlit dashboard."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[dashboard]"""

    read_only: bool = setting(False, "Hide every action.")
    password: str = setting("", "Asked for before anything is shown. AGENT_DASHBOARD_PASSWORD goes first.", secret=True)
