"""[database]: Where state, catalog and runs are kept."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[database]"""

    url: str = setting("", "SQLAlchemy URL; empty means SQLite in the home folder. AGENT_DATABASE_URL goes first.")
