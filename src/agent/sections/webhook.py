"""[webhook]: A message to a program of yours when a run is over."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[webhook]"""

    url: str = setting("", "Address that is sent a signed POST at the end of each run; none where empty.")
    secret: str = setting("", "Key of the signature, at least 24 characters. AGENT_WEBHOOK_SECRET.", secret=True)
