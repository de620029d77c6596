"""[worker]: The queue of runs."""

from __future__ import annotations

from pipelines.settings import setting
from pipelines.values import dataclass


@dataclass(frozen=True)
class Settings:
    """[worker]"""

    enabled: bool = setting(True, "Whether the server also works off the run queue.")
    check_interval: float = setting(
        5.0, "Pause between looks into the queue. WORKER_CHECK_INTERVAL.", unit="s", low=0.05
    )
    batch_size: int = setting(10, "Runs taken one after the other at a look. WORKER_BATCH_SIZE.", low=1, high=1000)
    most_per_project: int = setting(
        0, "Runs of one project that all workers carry out at a time; 0: any number.", low=0
    )
    retry_lost: int = setting(0, "How often a queued run whose worker died is queued again by itself.", low=0, high=10)
