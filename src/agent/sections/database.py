"""[database]: Where state, catalog and runs are kept."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    """[database]"""

    url: str = setting("", "SQLAlchemy URL; empty means SQLite in the home folder. AGENT_DATABASE_URL goes first.")
