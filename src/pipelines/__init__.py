"""The market pipeline: functions from input snapshots to an output snapshot.

Knows nothing of the orchestrator: no state, no SQL, no schedule. `agent` builds on it, never the other way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.loading import load as load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`pipelines.load(...)` for notebooks, without making every `import pipelines.x` pay for it (PEP 562)."""
    if name == "load":
        from pipelines.loading import load

        return load
    raise AttributeError(f"module 'pipelines' has no attribute {name!r}")
