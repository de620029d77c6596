"""Starts a worker that outlives whoever asked for it: the dashboard queues a run and must not carry it out itself."""

from __future__ import annotations

import subprocess
import sys

from agent.errors import AgentError
from agent.settings import Settings

_LOG_FILE = "worker.log"
_started: list[subprocess.Popen[bytes]] = []


def start_worker(settings: Settings) -> None:
    """Start `agent worker --once` in a session of its own; it ends when the queue is empty.

    Where another worker is quicker to claim the run, this one finds nothing and ends. Its log is logs/worker.log in the
    home folder. Raises AgentError where it cannot be started.
    """
    _started[:] = [one for one in _started if one.poll() is None]  # a child that ended stays a zombie until asked for
    log = settings.home / "logs" / _LOG_FILE
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
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
            mend="the run is queued: start `agent worker` yourself, and it is carried out",
        ) from error
    _started.append(child)
