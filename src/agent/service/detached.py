"""Starts a worker that outlives whoever asked for it: the dashboard queues a run and must not carry it out itself."""

from __future__ import annotations

import subprocess
import sys
import threading

from agent.errors import AgentError
from agent.settings import Settings
from pipelines.private import make_folder, open_new

_LOG_FILE = "worker.log"


def start_worker(settings: Settings) -> None:
    """Start `agent worker --once` in a session of its own; it ends when the queue is empty.

    Where another worker is quicker to claim the run, this one finds nothing and ends. Its log is logs/worker.log in the
    home folder. Raises AgentError where it cannot be started.
    """
    log = settings.home / "logs" / _LOG_FILE
    try:
        make_folder(log.parent)
        with open(log, "ab", opener=open_new) as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "agent", "worker", "--once"],
                cwd=settings.base,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise AgentError(
            f"cannot start a worker: {error}",
            where=str(log),
            fix="the run is queued: start `agent worker` yourself, and it is carried out",
        ) from error
    # Someone has to ask how it ended: until then it stays a zombie.
    threading.Thread(target=child.wait, name=f"worker-{child.pid}", daemon=True).start()
