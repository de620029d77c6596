"""[executor]: How components are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[executor]"""

    kind: Literal["processes", "inline"] = setting(
        "processes", "Compute in a process of its own (a command: only heavy components), or where it is planned."
    )
    timeout_seconds: float = setting(3600.0, "Time a component may take before it is ended.", unit="s", low=0.1)
    timeouts: Mapping[str, float] = field(default_factory=dict, metadata={"doc": "The same for single components."})
    attempts: int = setting(3, "Tries of a component whose error is transient, in one run.", low=1, high=20)
    retry_seconds: float = setting(2.0, "Wait before the second try; doubles with each.", unit="s", low=0, high=600)
    lease_seconds: float = setting(60.0, "How long a silent process keeps its claim.", unit="s", low=0.2, high=86400)
