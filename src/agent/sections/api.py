"""[api]: The HTTP API and its pages."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[api]"""

    host: str = setting("127.0.0.1", "Address to listen on; any but loopback needs a token.")
    port: int = setting(8000, "Port to listen on.", low=0, high=65535)
    token: str = setting("", "Bearer token. AGENT_API_TOKEN goes first.", secret=True)
    project_roots: tuple[str, ...] = setting(
        (), "Folders that projects may lie in; default: home and temporary folder."
    )
    projects_may_move: bool = setting(
        False, "Let a project's .env set AGENT_HOME, AGENT_DATABASE_URL, a token or a password."
    )
    max_body_bytes: int = setting(1_000_000, "Largest request body taken.", unit="bytes", low=1000)
    rate_limit_per_minute: int = setting(600, "Changing requests a client may send in a minute.", low=1)
    approval_minutes: int = setting(1440, "How long a run waits for approval before it expires.", unit="min", low=1)
